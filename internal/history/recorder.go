package history

import (
	"sync"
	"sync/atomic"
	"time"
)

// Recorder collects the calls of many goroutines for [Check]. It hands out one
// [Log] per goroutine, so that recording takes no lock and shares no memory.
//
// Now and NewLog: any number of goroutines. Calls: after the goroutines that
// record have ended, or been waited for.
type Recorder struct {
	base  time.Time
	ticks *atomic.Int64 // nil: the clock is time

	mu   sync.Mutex
	logs []*Log // guarded by mu
}

// NewRecorder returns a recorder on the machine's monotonic clock.
func NewRecorder() *Recorder {
	return &Recorder{base: time.Now()}
}

// NewTickRecorder returns a recorder whose clock is a counter that each reading
// moves on. Under a fake clock, where many calls start and end in the same
// instant and would all look concurrent, only this one sees the order they ran
// in. The counter is shared, hence slower than the clock with many goroutines.
func NewTickRecorder() *Recorder {
	return &Recorder{ticks: new(atomic.Int64)}
}

// Now reads the recorder's clock. It does not allocate.
func (r *Recorder) Now() int64 {
	if r.ticks != nil {
		return r.ticks.Add(1)
	}
	return int64(time.Since(r.base))
}

// NewLog returns a log for one goroutine, with room for size calls before it
// has to grow.
func (r *Recorder) NewLog(size int) *Log {
	l := &Log{recorder: r, calls: make([]Call, 0, size)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, l)
	return l
}

// Calls returns a copy of everything recorded, log by log.
func (r *Recorder) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, l := range r.logs {
		n += len(l.calls)
	}
	calls := make([]Call, 0, n)
	for _, l := range r.logs {
		calls = append(calls, l.calls...)
	}
	return calls
}

// Check checks everything recorded under the order of the contract.
func (r *Recorder) Check() []Violation {
	return Check(r.Calls())
}

// Log holds the calls of one goroutine and belongs to it: no method may run at
// the same time as another, or as the recorder's Calls.
type Log struct {
	recorder *Recorder
	calls    []Call
}

// Start reads the clock; call it right before the call that is recorded.
func (l *Log) Start() int64 {
	return l.recorder.Now()
}

// End records a call of the global scope that began at start and has just
// returned t. It allocates only when the log has to grow.
func (l *Log) End(start int64, t uint64) {
	l.EndScope(start, t, Global)
}

// EndScope is End for a timestamp of scope s.
func (l *Log) EndScope(start int64, t uint64, s Scope) {
	l.calls = append(l.calls, Call{start, l.recorder.Now(), t, s})
}

// Add records a call whose times were read elsewhere, from the same clock.
func (l *Log) Add(c Call) {
	l.calls = append(l.calls, c)
}
