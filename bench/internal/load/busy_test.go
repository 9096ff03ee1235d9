package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBusy_WorksUntilStopped(t *testing.T) {
	b := NewBusy(3)
	for i := range b.workers {
		require.Eventually(t, func() bool { return b.workers[i].slices.Load() > 10 }, 10*time.Second, time.Millisecond)
	}
	b.Stop()
	done := b.Work()
	require.GreaterOrEqual(t, done, 30*slice)
	require.Equal(t, done, b.Work())
}

func TestBusy_NobodyDoesNothing(t *testing.T) {
	b := NewBusy(0)
	b.Stop()
	require.Zero(t, b.Work())
}
