package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/tsoring/tso/bench/internal/text"
)

// File is what is written: every single measurement, and where it comes from.
type File struct {
	Header  Header   `json:"header"`
	Results []Result `json:"results"`
}

// Write writes the file, with a line for each measurement.
func (f File) Write(name string) error {
	header, err := json.MarshalIndent(f.Header, "", "  ")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"header\": %s,\n\"results\": [", header)
	for i, r := range f.Results {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return os.WriteFile(name, b.Bytes(), 0o644)
}

// Read reads a file that Write has written.
func Read(name string) (File, error) {
	var f File
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return f, fmt.Errorf("results: %w", err)
	}
	return f, nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return text.Count(n) + " " + what + "s"
}
