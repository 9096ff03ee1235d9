package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/tsotest"
)

// root is where the repository begins.
const root = "../../"

// address is what stands in examples for the address of a PD.
const address = "127.0.0.1:2379"

// packed is the published modules as they are committed, for programs that have nothing
// else of this repository.
type packed struct {
	module, version string // of the root
	env             []string
	pd              string
}

// newPacked packs the modules, and starts a PD.
func newPacked(t *testing.T) packed {
	t.Helper()
	c, err := head(t.Context(), ".")
	require.NoError(t, err)
	proxy := t.TempDir()
	modules, err := c.pack(proxy, "")
	require.NoError(t, err)
	others, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	require.NoError(t, err)
	pd := tsotest.New(t)
	return packed{
		module:  modules[0].Path,
		version: modules[0].Version,
		env: append(os.Environ(), "GOWORK=off", "GONOSUMDB="+modules[0].Path,
			"GOPROXY=file://"+filepath.ToSlash(proxy)+","+strings.TrimSpace(string(others))),
		pd: pd.URLs()[0],
	}
}

// do runs commands in dir as a user would type them, and returns what the last one printed.
func (p packed) do(t *testing.T, dir string, commands ...string) string {
	t.Helper()
	var out []byte
	for _, line := range commands {
		args := strings.Fields(strings.ReplaceAll(line, address, p.pd))
		for i, arg := range args {
			if strings.HasPrefix(arg, p.module) && !strings.Contains(arg, "@") {
				args[i] += "@" + p.version
			}
		}
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, p.env
		var err error
		out, err = cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", line, out)
	}
	return string(out)
}

// blocks returns the pieces of Go in a page.
func blocks(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(root + page)
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	require.NotEmpty(t, found, page)
	return found
}

// The first piece of README, in a program that has nothing but the module, gets a timestamp.
func TestPacked_ReadmeExample(t *testing.T) {
	p := newPacked(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "main.go"), `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/tsoring/tso"
)

func main() {
	if err := example(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func example(ctx context.Context) error {
`+strings.ReplaceAll(blocks(t, "README.md")[0], address, p.pd)+`
	fmt.Println(startTS)
	return nil
}
`)
	out := p.do(t, dir, "go mod init example.com/readme", "go get "+p.module, "go vet .", "go run .")
	require.Regexp(t, `^[1-9][0-9]{17}\n$`, out)
}
