package tso

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkContext compares calls whose context cannot end with calls whose context
// can, on a stream that costs nothing: each caller's own context, and one that all
// share.
func BenchmarkContext(b *testing.B) {
	for _, callers := range []int{1, 64, 512, 4096} {
		for _, kind := range []string{"background", "own", "shared"} {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, kind), func(b *testing.B) {
				shared, cancel := context.WithCancel(context.Background())
				defer cancel()
				l, env := startFakeLane(b, newEchoStream)
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for i := range callers {
					ctx := context.Background()
					switch kind {
					case "own":
						own, cancel := context.WithCancel(ctx)
						defer cancel()
						ctx = own
					case "shared":
						ctx = shared
					}
					calls := (b.N + i) / callers
					wg.Go(func() {
						for range calls {
							callWith(b, l, env.requests, ctx)
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

func callWith(tb testing.TB, l *lane, pool *requestPool, ctx context.Context) {
	r := pool.call(ctx)
	if err := l.pushToWait(ctx, r); err != nil {
		tb.Error(err)
	}
	if _, _, err := r.await(); err != nil {
		tb.Error(err)
	}
}

// BenchmarkRequest is what a request alone costs, without anybody who sleeps: a call that
// its caller awaits, and a future.
func BenchmarkRequest(b *testing.B) {
	pool := newRequestPool()
	b.Run("call", func(b *testing.B) {
		for range b.N {
			r := pool.call(context.Background())
			r.finish(stateDone)
			_, _, _ = r.await()
		}
	})
	b.Run("future", func(b *testing.B) {
		for range b.N {
			r := pool.get(context.Background())
			r.finish(stateDone)
			_, _, _ = r.Wait()
		}
	})
}

// BenchmarkParkAndWake is the floor of a call of one of many callers: goroutines that
// sleep, each on a channel of its own, and one that wakes them in turn once all do.
// There is no queue, no batch and no network.
func BenchmarkParkAndWake(b *testing.B) {
	for _, callers := range []int{64, 512, 4096} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var wakes []chan struct{}
			for range callers {
				wakes = append(wakes, make(chan struct{}, 1))
			}
			rounds := (b.N + callers - 1) / callers
			var asleep atomic.Int64
			all := make(chan struct{})
			var wg sync.WaitGroup
			b.ResetTimer()
			for _, wake := range wakes {
				wg.Go(func() {
					for range rounds {
						if asleep.Add(1)%int64(callers) == 0 {
							all <- struct{}{}
						}
						<-wake
					}
				})
			}
			for range rounds {
				<-all
				for _, wake := range wakes {
					wake <- struct{}{}
				}
			}
			wg.Wait()
		})
	}
}
