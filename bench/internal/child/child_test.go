package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	isChild, err := Run(map[string]Role{
		"echo": func(args []string, ready func(string), stop <-chan struct{}) error {
			ready(strings.Join(args, " "))
			<-stop
			return nil
		},
		"fail": func([]string, func(string), <-chan struct{}) error { return errors.New("planted") },
	})
	switch {
	case err != nil:
		os.Exit(3)
	case !isChild:
		os.Exit(m.Run())
	}
}

func TestStart_SaysItsLineAndEnds(t *testing.T) {
	p, err := Start(t.Context(), "echo", "one", "two words")
	require.NoError(t, err)
	require.Equal(t, "one two words", p.Line)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.True(t, p.command.ProcessState.Exited())
}

func TestStart_ReportsAChildThatFails(t *testing.T) {
	for _, role := range []string{"fail", "unknown"} {
		_, err := Start(t.Context(), role)
		require.ErrorContains(t, err, fmt.Sprintf("child: %s: EOF", role))
		require.ErrorContains(t, err, "exit status 3")
	}
}
