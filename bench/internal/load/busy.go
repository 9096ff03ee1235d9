package load

import (
	"math/rand/v2"
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

// NewBusy starts n workers that are never done.
func NewBusy(n int) *Busy { return start(n, (*Busy).work) }

// NewShare starts n workers with as many short tasks as keep the processors busy for
// a share of their time, garbage included: a server under load, and not one that
// drowns.
func NewShare(n int, share float64) *Busy {
	period := time.Duration(float64(slice) * float64(n) / (share * float64(runtime.GOMAXPROCS(0))))
	return start(n, func(b *Busy, w *worker, steps int) { b.serve(w, steps, period) })
}

func start(n int, work func(*Busy, *worker, int)) *Busy {
	b := &Busy{workers: make([]worker, n)}
	if n == 0 {
		return b
	}
	steps := stepsPerSlice()
	for i := range b.workers {
		b.ended.Go(func() { work(b, &b.workers[i], steps) })
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

// backlog is how far a worker of NewShare may be behind: it then catches up, as a
// server with a queue does.
const backlog = 10 * time.Millisecond

// serve does a task in each period on average, at random times, and leaves garbage as
// tasks do.
func (b *Busy) serve(w *worker, steps int, period time.Duration) {
	late := newAlarm()
	began := time.Now()
	var due time.Duration
	var garbage []byte
	for x := uint64(1); !b.stopping.Load(); {
		garbage = make([]byte, taskGarbage)
		x = churn(x+uint64(garbage[0]), steps)
		w.slices.Add(1)
		due += time.Duration(rand.ExpFloat64() * float64(period))
		now := time.Since(began)
		due = max(due, now-backlog)
		if due <= now {
			runtime.Gosched() // the end of a task is the end of a turn
		}
		late.sleep(due - now)
	}
}

// taskGarbage is what a task allocates: some 300 MB a second with two processors.
const taskGarbage = 8 << 10

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
