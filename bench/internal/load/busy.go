package load

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// slice is how long a worker of a Busy has a processor before it lets others have it:
// a small request's share of the work of a server.
const slice = 50 * time.Microsecond

// Busy is the application around a client: workers that always have something to do.
// With as many of them as processors or more, the process is saturated.
type Busy struct {
	workers  []worker
	stopping atomic.Bool
	ended    sync.WaitGroup
}

// worker counts its slices, for itself: two share no cache line.
type worker struct {
	slices atomic.Int64
	_      [56]byte
}

// NewBusy starts n workers.
func NewBusy(n int) *Busy {
	b := &Busy{workers: make([]worker, n)}
	if n == 0 {
		return b
	}
	steps := stepsPerSlice()
	for i := range b.workers {
		b.ended.Go(func() { b.work(&b.workers[i], steps) })
	}
	return b
}

// work always does the same amount in a slice, so that slices count work done rather
// than time gone by.
func (b *Busy) work(w *worker, steps int) {
	for x := uint64(1); !b.stopping.Load(); {
		x = churn(x, steps)
		w.slices.Add(1)
		runtime.Gosched()
	}
}

// Work returns how much the workers have done.
func (b *Busy) Work() time.Duration {
	var n int64
	for i := range b.workers {
		n += b.workers[i].slices.Load()
	}
	return time.Duration(n) * slice
}

// Stop ends the workers.
func (b *Busy) Stop() {
	b.stopping.Store(true)
	b.ended.Wait()
}

// churn computes something that takes time, and that no compiler can leave out.
//
//go:noinline
func churn(x uint64, steps int) uint64 {
	for range steps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// stepsPerSlice measures the machine once, so that all clients of a comparison stand
// beside the same work.
var stepsPerSlice = sync.OnceValue(func() int {
	const probe = 1 << 20
	best, x := time.Duration(1<<62), uint64(1)
	for range 10 {
		began := time.Now()
		x = churn(x, probe)
		best = min(best, time.Since(began))
	}
	return int(probe * slice / max(best, 1))
})
