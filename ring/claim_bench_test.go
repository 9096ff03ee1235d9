package ring

import (
	"sync/atomic"
	"testing"
)

// BenchmarkClaim is the least that a push costs, the swap of the tail, with as many
// processors at it as -cpu says; the input of the model in DESIGN.md, "Past these
// machines".
func BenchmarkClaim(b *testing.B) {
	var tail atomic.Uint64
	var failed atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		again := int64(0)
		for pb.Next() {
			for pos := tail.Load(); !tail.CompareAndSwap(pos, pos+1); pos = tail.Load() {
				again++
			}
		}
		failed.Add(again)
	})
	b.ReportMetric(float64(failed.Load())/float64(b.N), "failed/op")
}
