package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/bench/internal/site"
	"github.com/tsoring/tso/integration/cli"
)

func TestMain(m *testing.M) {
	isChild, err := site.RunChild()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !isChild:
		os.Exit(m.Run())
	}
}

// Every scenario can be measured. PD's own client, which takes 5 s to open, and in which
// the race detector has much to watch, has its test in package impl.
func TestRun_AllScenariosOnAStandIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	var out, progress bytes.Buffer
	code := run(t.Context(), []string{
		"--set=long", "--stand-in", "--impls=tso,tso-local,nobody,tso-ring,channel",
		"--rounds=1", "--duration=40ms", "--warm-up=20ms", "--out=" + dir,
	}, &out, &progress)
	require.Zero(t, code, progress.String())
	file, err := result.Read(filepath.Join(dir, "results.json"))
	require.NoError(t, err)
	for _, s := range scenario.Long() {
		// So many milliseconds may be too few for a timestamp; then it is said.
		shown := strings.Contains(out.String(), s.Name()+", on ")
		require.True(t, shown || strings.Contains(progress.String(), ": "+s.Name()+", "), s.Name())
		for _, r := range s.Rivals {
			c := result.Select(file.Results, s.Name(), r.Name)
			if len(c) == 0 {
				continue // not wanted, or left out
			}
			require.Equal(t, s.Idle || r == scenario.Nobody, c[0].Calls == 0)
			require.Equal(t, s.Site == scenario.Far, c[0].RTT > 0)
			require.Equal(t, s.Busy > 0, c[0].Work > 0)
			require.Zero(t, c[0].Errors)
		}
	}
	require.NotContains(t, out.String(), "FAILED")
	require.GreaterOrEqual(t, len(file.Results), len(scenario.Long())/2)

	var again bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"--set=long", "--from=" + filepath.Join(dir, "results.json")}, &again, &progress))
	require.True(t, strings.HasPrefix(out.String(), again.String()), "the same tables from the file")
}

func TestRun_InterruptedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	progress := writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "ns/op") {
			cancel() // there is a first result
		}
		return len(p), nil
	})
	code := run(ctx, []string{"--stand-in", "--impls=tso,bare", "--callers=1", "--duration=10ms", "--warm-up=0"}, &out, progress)
	require.Equal(t, cli.Failed, code)
	require.Contains(t, out.String(), "closed/callers=1")
}

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRun_ListsAndMeasuresNothing(t *testing.T) {
	var out, progress bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"--set=long", "--only=^far", "--list"}, &out, &progress))
	require.Empty(t, progress.String())
	require.Contains(t, out.String(), "far/callers=64")
	require.NotContains(t, out.String(), "closed")
}

func TestParse_ErrorNamesTheCulprit(t *testing.T) {
	for want, args := range map[string][]string{
		"--set":       {"--set=some"},
		"--only":      {"--only=("},
		"no scenario": {"--only=nothing"},
		"--callers":   {"--callers=0"},
		"--busy":      {"--callers=1", "--busy=-1"},
		"--rounds":    {"--rounds=0"},
		"--duration":  {"--duration=0s"},
		"--impls":     {"--impls=none"},
		"not a flag":  {"stray"},
	} {
		_, err := parse(args)
		require.ErrorContains(t, err, want)
	}
}
