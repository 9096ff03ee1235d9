package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shown is what is shown of lines, which are all there at once.
func shown(text string, ticks int) string {
	var b strings.Builder
	at := time.Unix(0, 0)
	r := report{w: &b, running: make(map[test]*state), now: func() time.Time { return at }}
	for line := range strings.Lines(text) {
		r.line([]byte(line))
	}
	for range ticks {
		at = at.Add(silence)
		r.tick()
	}
	r.rest()
	return b.String()
}

const begun = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"told by A\n"}
`

func TestReport(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		ticks int
		want  string
	}{
		"a test that passes is not shown": {begun + `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`, 0, "ok  \tp\t0.1s\n"},
		"one that fails is":                {begun + `{"Action":"fail","Package":"p","Test":"TestA"}` + "\n", 0, "told by A\n"},
		"and one that its package ends":    {begun + `{"Action":"fail","Package":"p"}` + "\n", 0, "told by A\n"},
		"and one that never ends":          {begun, 0, "told by A\n"},
		"what does not compile":            {`{"ImportPath":"p","Action":"build-output","Output":"x.go:1: no\n"}` + "\n", 0, "x.go:1: no\n"},
		"what is no event":                 {"signal: killed\n", 0, "signal: killed\n"},
		"silence is broken":                {begun, 1, "... 0 tests done; TestA of p for 30s\ntold by A\n"},
		"silence while nothing runs":       {begun + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n", 1, "... 1 tests done; building\n"},
		"no silence, and nothing about it": {"x\n", 1, "x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, shown(tc.text, tc.ticks))
		})
	}
}

// What go test itself writes: one test passes, one fails, and the lines of both kinds
// come through.
func TestShowReadsGoTest(t *testing.T) {
	dir := t.TempDir()
	source := `package planted

import "testing"

func TestGood(t *testing.T) { t.Log("good") }
func TestBad(t *testing.T)  { t.Run("within", func(t *testing.T) { t.Error("bad") }) }
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "planted_test.go"), []byte(source), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module planted\n\ngo 1.25.0\n"), 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", ".")
	cmd.Dir = dir
	out, err := cmd.Output()
	require.Error(t, err)
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		read(strings.NewReader(string(out)), lines)
	}()
	var b strings.Builder
	show(&b, lines, nil)
	require.Contains(t, b.String(), "--- FAIL: TestBad/within")
	require.Contains(t, b.String(), "bad")
	require.Contains(t, b.String(), "FAIL\tplanted")
	require.NotContains(t, b.String(), "good")
	require.NotContains(t, b.String(), "=== RUN")
}
