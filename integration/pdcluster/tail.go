package pdcluster

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// tailBytes is how much of a log is shown when something went wrong: some 25
// lines of PD's.
const tailBytes = 6 << 10

// tail returns the end of a file, from the start of a line.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	from := max(0, size-tailBytes)
	b, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	if _, rest, found := strings.Cut(string(b), "\n"); found && from > 0 {
		return rest
	}
	return string(b)
}
