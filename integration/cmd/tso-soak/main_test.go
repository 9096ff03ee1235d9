package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun_TellsWhatItIsAsked(t *testing.T) {
	var out, errs strings.Builder
	require.Equal(t, exitPassed, run(t.Context(), []string{"--help"}, &out, &errs))
	require.Contains(t, out.String(), "leader killed")
	require.Contains(t, out.String(), "old-timestamp")
	require.Empty(t, errs.String())
}

func TestRun_RefusesWhatCannotWork(t *testing.T) {
	for _, args := range [][]string{
		{"--duration=-1s"}, {"--only=nothing of the kind"}, {"--plant=nothing of the kind"}, {"more"}, {"--callers=-1"},
	} {
		var out, errs strings.Builder
		require.Equal(t, exitUsage, run(t.Context(), args, &out, &errs), "%v", args)
		require.Contains(t, errs.String(), "tso-soak: ", "%v", args)
		require.Empty(t, out.String(), "%v", args)
	}
}
