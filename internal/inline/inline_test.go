package inline

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hot are the functions that run for each call or each request of a batch, or inside
// of those, and are small enough to cost less than calling them. Not among them,
// because the compiler finds them too large and a smaller half would not do without
// the rest: MPSC.TryPush (its loop), request.let (nearly every caller is parked),
// requestPool.get (only futures need it, and what it calls is inlined there),
// lane.look and lane.gather (nearly every call gets past their first line).
var hot = []string{
	"ComposeTS", "ExtractTS", "usable",
	"(*requestPool).call", "(*request).recycle", "(*request).await", "(*request).finish", "(*request).fail",
	"(*lane).mostInFlight", "(*lane).expiry", "(*lane).expiryOf", "(*lane).dequeue", "(*batchQueue).pop", "(*lane).freeBatch",
	"(*flight).len", "(*flight).oldest", "(*flight).answered", "(*roundTrip).add",
	"Batch.At", "Batch.All", "Batch.Len",
	"ring.(*MPSC).Len",
	"batch.(*Batch).Len", "batch.(*Batch).Requests", "batch.(*Batch).Launch", "batch.(*Batch).Claim", "batch.(*Batch).Reset",
	"batch.Policy.Decide", "batch.Share", "batch.Range.At", "batch.Depth",
}

// uncalled are those that the library itself calls through a variable, or not at all.
var uncalled = map[string]bool{"ComposeTS": true, "batch.Depth": true, "Batch.All": true}

// report is what the compiler says of a module directory, without type arguments. It
// compiles for a 64-bit processor: on others each 64-bit atomic is a call, and little
// is small enough.
func report(t *testing.T, dir string, packages ...string) []byte {
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-gcflags=-m"}, packages...)...)
	cmd.Dir = dir
	if strconv.IntSize == 32 {
		cmd.Env = append(cmd.Environ(), "GOARCH=amd64")
	}
	out, err := cmd.CombinedOutput() // the build cache has it ready if nothing has changed
	require.NoError(t, err, "%s", out)
	return regexp.MustCompile(`\[[^\n]*\]\)`).ReplaceAll(out, []byte(")"))
}

// says reports whether a line of the compiler's is verb and then name.
func says(out []byte, verb, name string) bool {
	return regexp.MustCompile(`(?m): ` + verb + ` ` + regexp.QuoteMeta(name) + `$`).Match(out)
}

func TestHotFunctionsInline(t *testing.T) {
	out := report(t, filepath.Join("..", ".."), ".", "./ring", "./batch")
	for _, name := range hot {
		verb := "inlining call to"
		if uncalled[name] {
			verb, name = "can inline", strings.TrimPrefix(name, "batch.")
		}
		if !says(out, verb, name) {
			t.Errorf("the compiler does not say %q; go build -gcflags=-m=2 tells why", verb+" "+name)
		}
	}
}

// A function that cannot be inlined must show.
func TestAFunctionTooLargeShows(t *testing.T) {
	dir := t.TempDir()
	source := `package planted

func Small(x int) int { return x + 1 }

//go:noinline
func Large(x int) int { return x + 2 }

func Calls(x int) int { return Small(x) + Large(x) }
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "planted.go"), []byte(source), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module planted\n\ngo 1.25.0\n"), 0o600))
	out := report(t, dir, ".")
	require.True(t, says(out, "inlining call to", "Small"))
	require.False(t, says(out, "inlining call to", "Large"))
}
