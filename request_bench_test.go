package tso

import (
	"context"
	"fmt"
	"sync"
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
	r := pool.get(ctx)
	if err := l.pushToWait(ctx, r); err != nil {
		tb.Error(err)
	}
	if _, _, err := r.Wait(); err != nil {
		tb.Error(err)
	}
}
