package yieldconn

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// sampleInterval is for how long a look at the scheduler holds. A look takes 0.2 µs
// with 2 processors, and grows with their number. A process that becomes saturated
// meanwhile costs one answer up to 10 ms, as it would cost all of them otherwise.
const sampleInterval = 10 * time.Millisecond

// Load tells whether the process has more work than processors, so that a goroutine
// that waits for the network will not be woken by an idle one. The zero value is
// ready. Methods may be called from any goroutine.
type Load struct {
	saturated atomic.Bool
	sampled   atomic.Int64 // when, as now tells it

	// sampling is held by who takes a sample, and guards samples.
	sampling atomic.Bool
	samples  []metrics.Sample
}

// The runtime's counts. They are Go 1.26's; without them no process counts as
// saturated.
const (
	running    = "/sched/goroutines/running:goroutines"
	runnable   = "/sched/goroutines/runnable:goroutines"
	processors = "/sched/gomaxprocs:threads"
)

// began is the origin of now, which all connections share, as they share a Load.
var began = time.Now()

// now is a monotonic clock in nanoseconds.
func now() int64 { return int64(time.Since(began)) }

// Saturated reports what the last look at the scheduler has found. It costs an atomic
// load.
func (l *Load) Saturated() bool { return l.saturated.Load() }

// Look looks at the scheduler if the last look is too long ago.
func (l *Load) Look(now int64) {
	if now-l.sampled.Load() < int64(sampleInterval) || !l.sampling.CompareAndSwap(false, true) {
		return // or somebody looks just now
	}
	if l.samples == nil {
		l.samples = sample()
	} else {
		metrics.Read(l.samples)
	}
	l.saturated.Store(saturation(l.samples))
	l.sampled.Store(now)
	l.sampling.Store(false)
}

// sample returns a first look: running, runnable, processors.
func sample() []metrics.Sample {
	samples := []metrics.Sample{{Name: running}, {Name: runnable}, {Name: processors}}
	metrics.Read(samples)
	return samples
}

// saturation reports whether at least as many goroutines as there are processors want
// one, besides the one that asks: then none is left to look at the network.
func saturation(samples []metrics.Sample) bool {
	var counts [3]uint64
	for i, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return false
		}
		counts[i] = s.Value.Uint64()
	}
	running, runnable, processors := counts[0], counts[1], counts[2]
	return running+runnable > processors
}
