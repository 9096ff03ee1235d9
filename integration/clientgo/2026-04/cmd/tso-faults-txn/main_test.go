package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/integration/bank"
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
	require.Greater(t, strings.Count(all, "\n"), 10)
	code, some, _ := runIt(t, "--list", "--only", "frozen,SIGTERM")
	require.Equal(t, cli.OK, code)
	require.Equal(t, 2, strings.Count(some, "\n"))
}

func TestRun_SaysWhatToChange(t *testing.T) {
	for flag, says := range map[string]string{"--only=nothing": "--list", "extra": "not a flag", "--bad": "--help"} {
		code, _, stderr := runIt(t, flag)
		require.Equal(t, cli.Usage, code, flag)
		require.Contains(t, stderr, says)
	}
	code, stdout, _ := runIt(t, "--help")
	require.Equal(t, cli.OK, code)
	require.Contains(t, stdout, "--results")
}

// made is an outcome with a slow transaction and a very slow one.
func made(client string) outcome {
	return outcome{client: client, Result: bank.Result{
		Committed: 4711, Failed: 3, Messages: map[string]int{"planted": 3}, Silence: 2200 * time.Millisecond,
		Durations: []time.Duration{time.Millisecond, 150 * time.Millisecond, 2500 * time.Millisecond},
	}}
}

// What is kept says what it was measured with, and the figures of each client.
func TestReport_IsKept(t *testing.T) {
	row := faults.LeaderKilled()
	dir := filepath.Join(t.TempDir(), "results")
	r := newReport(time.Now(), config{only: []string{"kill"}}, []result{{row, verdict{2100 * time.Millisecond, []outcome{made("upstream"), made("ours")}}}})
	require.NoError(t, r.save(dir))
	files, err := filepath.Glob(filepath.Join(dir, "*-faults-txn.md"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	kept, err := os.ReadFile(files[0])
	require.NoError(t, err)
	figures := "| 4711 | 3 | 2 | 1 | 2.5 s | 2.2 s "
	require.Contains(t, string(kept), "| "+row.Name+" | 2.1 s "+figures+figures+"| 0 |\n")
	for _, want := range []string{"> 100ms", "> 1s", "make faults-txn ONLY='kill'", "go1.", "commit "} {
		require.Contains(t, string(kept), want)
	}
	require.Contains(t, r.text(), row.Name)
	require.NoError(t, r.save(""), "nobody has asked for a file")
}

// The command fails where money is made or lost, or a timestamp breaks the order.
func TestTell_SaysWhatNoClientMayDo(t *testing.T) {
	row := faults.LeaderKilled()
	var out bytes.Buffer
	require.NoError(t, tell(&out, row, []outcome{made("upstream"), made("ours")}))
	require.Equal(t, 2, strings.Count(out.String(), "3 × planted"))
	unbalanced, disordered := made("upstream"), made("ours")
	unbalanced.Unbalanced, disordered.wrong = 1, []string{"planted"}
	err := tell(&out, row, []outcome{unbalanced, disordered})
	require.ErrorContains(t, err, "upstream: 1 snapshots without balance")
	require.ErrorContains(t, err, "ours: 0 snapshots without balance, timestamps: [planted]")
}

func TestLongest_IsBetweenNeighbours(t *testing.T) {
	require.Zero(t, longest(nil))
	require.Zero(t, longest([]int64{7}))
	require.EqualValues(t, 30, longest([]int64{5, 10, 40, 60}))
}
