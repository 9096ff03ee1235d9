package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/integration/soak"
)

// told writes what is printed to a test's log.
type told struct{ t *testing.T }

func (w told) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// A short run of what `make soak` runs for long.
func TestSoak(t *testing.T) {
	verdict, err := soak.Run(t.Context(), soak.Config{
		Cluster: broken.use(t), Duration: 6 * time.Second, Seed: 1, Callers: 500, Rate: 2000, Calm: 200 * time.Millisecond, Out: told{t},
	})
	require.NoError(t, err)
	t.Log(verdict)
	require.True(t, verdict.Pass())
}
