package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/integration/faults"
)

func runIt(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestRun_ListsWhatItWouldDo(t *testing.T) {
	code, all, _ := runIt(t, "--list")
	require.Equal(t, cli.OK, code)
	require.Greater(t, strings.Count(all, "\n"), 15)
	code, some, _ := runIt(t, "--list", "--only", "frozen,SIGTERM")
	require.Equal(t, cli.OK, code)
	for line := range strings.Lines(some) {
		require.Contains(t, all, line)
		require.True(t, strings.Contains(line, "frozen") || strings.Contains(line, "SIGTERM"), line)
	}
	code, many, _ := runIt(t, "--list", "--only", "200 clients")
	require.Equal(t, cli.OK, code)
	require.Contains(t, many, "200 clients: no quorum for 10s\n")
	require.Contains(t, all, many)
	require.NotContains(t, many, "frozen")
}

func TestRun_SaysWhatToChange(t *testing.T) {
	for flag, says := range map[string]string{
		"--only=nothing": "--list", "--clients=nobody": faults.Upstream, "extra": "not a flag", "--bad": "--help",
	} {
		code, _, stderr := runIt(t, flag)
		require.Equal(t, cli.Usage, code, flag)
		require.Contains(t, stderr, says)
	}
	code, stdout, _ := runIt(t, "--help")
	require.Equal(t, cli.OK, code)
	require.Contains(t, stdout, "--results")
}

// What is kept says what it was measured with, and both clients' figures.
func TestReport_IsKept(t *testing.T) {
	row := faults.LeaderKilled()
	results := []*faults.Result{{
		Row: row, Floors: []time.Duration{2 * time.Second},
		Clients: []faults.Outcome{
			{Client: faults.Upstream, Adds: 300 * time.Millisecond, Recovered: true, Errors: 17, Longest: 6 * time.Second},
			{Client: faults.Ours, Adds: 21 * time.Millisecond, Recovered: true, Longest: 2 * time.Second},
		},
	}}
	crowds := []*faults.CrowdOutcome{
		{Crowd: faults.CrowdResigned(200, 4), Client: faults.Upstream, PD: 2100 * time.Millisecond, All: 14 * time.Second},
		{Crowd: faults.CrowdResigned(200, 4), Client: faults.Ours, Unserved: 3},
	}
	dir := filepath.Join(t.TempDir(), "results")
	r := newReport(time.Now(), config{only: []string{"kill"}}, results, crowds)
	require.NoError(t, r.save(dir))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	kept, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	require.NoError(t, err)
	for _, want := range []string{
		row.Name, "2.0 s", "300 ms", "17", "6.0 s", "21 ms", "≤ 50ms", "go1.", "commit ", "make faults ONLY='kill'", "processors",
		legend, crowdLegend, "200 clients: leader resigns", "2.10 s", "14.0 s", "3 never",
	} {
		require.Contains(t, string(kept), want)
	}
	require.Contains(t, r.text(), row.Name)
	require.Contains(t, r.text(), crowds[0].Crowd.Name)
	require.NotContains(t, newReport(time.Now(), config{}, results, nil).markdown(), crowdLegend)
	require.NotContains(t, newReport(time.Now(), config{}, nil, crowds).markdown(), legend)

	t.Chdir(t.TempDir())
	require.NoError(t, r.save(""), "nobody has asked for a file")
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, left)
}
