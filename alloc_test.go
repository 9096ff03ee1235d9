//go:build !race

package tso

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The promise of package tso's documentation, with 64 callers on a stream that
// costs nothing: what a call allocates is ours. The counts are of the whole
// process, so a garbage collection that empties a pool shows, in thousandths.
func TestCallsDoNotAllocate(t *testing.T) {
	for _, tc := range []struct {
		name string
		call func(*lane, *requestPool)
	}{
		{"GetTS", func(l *lane, pool *requestPool) { callOnce(t, l, pool, context.Background()) }},
		{"GetTS with a cancellable context", func() func(*lane, *requestPool) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			return func(l *lane, pool *requestPool) { callOnce(t, l, pool, ctx) }
		}()},
		{"GetTSAsync and Wait", func(l *lane, pool *requestPool) {
			var futures [8]TSFuture
			for i := range futures {
				r := pool.get(context.Background())
				if err := l.pushToWait(context.Background(), r); err != nil {
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
	} {
		t.Run(tc.name, func(t *testing.T) {
			const callers, calls = 64, 2000
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
			perCall := float64(after.Mallocs-before.Mallocs) / (callers * calls)
			t.Logf("%.5f allocations a call", perCall)
			require.Less(t, perCall, 0.01)
		})
	}
}

func callOnce(t *testing.T, l *lane, pool *requestPool, ctx context.Context) {
	r := pool.get(ctx)
	if err := l.push(ctx, r); err != nil {
		t.Error(err)
	}
	if _, _, err := r.Wait(); err != nil {
		t.Error(err)
	}
}
