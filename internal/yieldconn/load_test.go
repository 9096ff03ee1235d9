package yieldconn

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eventually looks until it finds the process saturated or not, as wanted.
func eventually(t *testing.T, want bool) {
	t.Helper()
	var l Load
	var now int64
	require.Eventually(t, func() bool {
		now += int64(sampleInterval)
		l.Look(now)
		return l.Saturated() == want
	}, 10*time.Second, time.Millisecond)
}

// busy starts goroutines that always have work, until the function that it returns is
// called.
func busy(n int) (stop func()) {
	var stopping atomic.Bool
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for x := 1; !stopping.Load(); x++ {
				if x%1000 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	return func() {
		stopping.Store(true)
		wg.Wait()
	}
}

func TestLoadTellsSaturatedFromIdle(t *testing.T) {
	if s := sample(); s[0].Value.Kind() != metrics.KindUint64 {
		eventually(t, false) // an older Go, whose scheduler does not tell
		return
	}
	eventually(t, false)
	stop := busy(2 * runtime.GOMAXPROCS(0))
	eventually(t, true)
	stop()
	eventually(t, false)
}

func TestLookHoldsForAWhile(t *testing.T) {
	var l Load
	l.Look(int64(sampleInterval))
	l.saturated.Store(true)
	l.Look(2*int64(sampleInterval) - 1)
	require.True(t, l.Saturated(), "nobody has looked")
}

func TestLookAllocatesNothing(t *testing.T) {
	var l Load
	var now int64
	require.Zero(t, testing.AllocsPerRun(100, func() {
		now += int64(sampleInterval)
		l.Look(now)
	}))
}

// unknown returns a sample that asks the runtime for what it does not know.
func unknown() []metrics.Sample {
	return []metrics.Sample{{Name: "/no/such/running:goroutines"}, {Name: "/no/such/runnable:goroutines"}, {Name: processors}}
}

func TestUnknownMetricsMeanIdle(t *testing.T) {
	samples := unknown()
	metrics.Read(samples)
	require.False(t, saturation(samples))
}

func TestLookFromManyGoroutines(t *testing.T) {
	var l Load
	var now atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				l.Look(now.Add(int64(sampleInterval)))
				l.Saturated()
			}
		})
	}
	wg.Wait()
}
