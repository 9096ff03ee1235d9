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

// blocks returns the pieces of a page that are in a language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(root + page)
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
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
`+strings.ReplaceAll(blocks(t, "README.md", "go")[0], address, p.pd)+`
	fmt.Println(startTS)
	return nil
}
`)
	out := p.do(t, dir, "go mod init example.com/readme", "go get "+p.module, "go vet .", "go run .")
	require.Regexp(t, `^[1-9][0-9]{17}\n$`, out)
}

// example is the files of a program of docs/_examples by their names.
func example(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(dir + "/*.go")
	require.NoError(t, err)
	files := make(map[string]string)
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		files[filepath.Base(name)] = string(text)
	}
	return files
}

func examples(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(root + "docs/_examples/*")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	return dirs
}

// Each program of docs/_examples is what a user has: made in an empty folder, with the
// commands that it names.
func TestPacked_Examples(t *testing.T) {
	p := newPacked(t)
	command := regexp.MustCompile(`(?m)^//\t(go .*)$`)
	for _, dir := range examples(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel() // PD's own client takes 5 s to start on a server without its newer services
			files, empty := example(t, dir), t.TempDir()
			for name, text := range files {
				put(t, filepath.Join(empty, name), text)
			}
			commands := []string{"go mod init example.com/program"}
			for _, m := range command.FindAllStringSubmatch(files["main.go"], -1) {
				commands = append(commands, m[1])
			}
			require.Greater(t, len(commands), 2, "main.go says how to get what it needs, and how to run it")
			t.Log(p.do(t, empty, commands...))
		})
	}
}

// What the migration page shows has been compiled: each piece of Go is part of an example,
// and of each change both what was there and what is there then.
func TestPacked_MigrationPage(t *testing.T) {
	var compiled strings.Builder
	for _, dir := range examples(t) {
		for _, text := range example(t, dir) {
			compiled.WriteString(flush(text))
		}
	}
	page := "docs/migrate.md"
	pieces := blocks(t, page, "go")
	for _, change := range blocks(t, page, "diff") {
		pieces = append(pieces, side(change, "-"), side(change, "+"))
	}
	for _, piece := range pieces {
		require.True(t, strings.Contains(compiled.String(), flush(piece)), "in no example:\n%s", piece)
	}
}

// side returns one of the two texts of a change.
func side(change, sign string) string {
	var lines []string
	for line := range strings.Lines(change) {
		if line[:1] == sign || line[:1] == " " {
			lines = append(lines, line[1:])
		}
	}
	return strings.Join(lines, "")
}

// flush returns text without its indentation.
func flush(text string) string {
	return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(text, "")
}
