package load

import (
	"runtime"
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

func TestShare_WorksAndRests(t *testing.T) {
	const share = 0.1
	began := time.Now()
	b := NewShare(4, share)
	require.Eventually(t, func() bool { return b.Work() > 100*slice }, 10*time.Second, time.Millisecond)
	b.Stop()
	most := time.Since(began) * time.Duration(runtime.GOMAXPROCS(0)) / 2
	require.Less(t, b.Work(), most, "five times its share")
}
