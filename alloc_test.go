//go:build !race

package tso

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/tsotest"
)

// The promise of package tso's documentation, with one caller and with many on a
// stream that costs nothing: what a call allocates is ours. The counts are of the whole
// process, so a garbage collection that empties a pool shows, in thousandths.
func TestCallsDoNotAllocate(t *testing.T) {
	for _, tc := range []struct {
		name string
		call func(*lane, *requestPool)
	}{
		{"GetTS", func(l *lane, pool *requestPool) { callWith(t, l, pool, context.Background()) }},
		{"GetTS with a cancellable context", func() func(*lane, *requestPool) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			return func(l *lane, pool *requestPool) { callWith(t, l, pool, ctx) }
		}()},
		{"GetTSAsync and Wait", func(l *lane, pool *requestPool) {
			var futures [8]TSFuture
			for i := range futures {
				r := pool.get(context.Background())
				if err := l.push(context.Background(), r); err != nil {
					t.Error(err)
				}
				futures[i] = r
			}
			for _, f := range futures {
				if _, _, err := f.Wait(); err != nil {
					t.Error(err)
				}
			}
		}},
		{"GetTSBatch, one RPC", func(l *lane, _ *requestPool) { batchWith(t, l, 1+rand.IntN(50)) }},
		{"GetTSBatch, several RPCs", func(l *lane, _ *requestPool) { batchWith(t, l, 30_000) }},
	} {
		for _, callers := range []int{1, 64, 512} {
			t.Run(fmt.Sprintf("%s, callers %d", tc.name, callers), func(t *testing.T) {
				calls := 128_000 / callers
				l, env := startFakeLane(t, newEchoStream)
				run := func(calls int) {
					var wg sync.WaitGroup
					for range callers {
						wg.Go(func() {
							for range calls {
								tc.call(l, env.requests)
							}
						})
					}
					wg.Wait()
				}
				run(calls) // warm: pools, and the goroutines' own structures
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				run(calls)
				runtime.ReadMemStats(&after)
				perCall := float64(after.Mallocs-before.Mallocs) / float64(callers*calls)
				t.Logf("%.5f allocations a call", perCall)
				require.Less(t, perCall, 0.01+3/float64(calls)) // 3: a goroutine costs as much
			})
		}
	}
}

// batchWith makes a call for n timestamps, and goes through the first of them.
func batchWith(t *testing.T, l *lane, n int) {
	b, err := l.getBatch(context.Background(), n)
	if err != nil {
		t.Error(err)
	}
	seen, other := 0, b
	for physical, logical := range other.All() {
		if seen++; physical <= 0 || logical < 0 || seen == 100 {
			break
		}
	}
	if seen != min(n, 100) || other != b {
		t.Errorf("%d timestamps of %d", seen, n)
	}
}

func TestStatsDoNotAllocate(t *testing.T) {
	c := newTestClient(t, tsotest.New(t))
	_, _, err := c.GetTS(t.Context())
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if c.Stats().RPCs == 0 {
			t.Error("no RPC counted")
		}
	}))
}
