package bank

import (
	"sync"

	"github.com/tsoring/tso/internal/history"
)

// Tally sees every timestamp that a program takes: how many there were, and whether their
// order is as promised.
type Tally struct {
	recorder *history.Recorder

	mu     sync.Mutex
	log    *history.Log // guarded by mu
	taken  int          // guarded by mu
	failed int          // guarded by mu
}

// NewTally returns an empty tally.
func NewTally() *Tally {
	r := history.NewRecorder()
	return &Tally{recorder: r, log: r.NewLog(4096)}
}

// Now is when a call begins.
func (t *Tally) Now() int64 { return t.recorder.Now() }

// Take notes what a call that began at start has just returned.
func (t *Tally) Take(start, physical, logical int64, err error) {
	end := t.recorder.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failed++
		return
	}
	t.taken++
	t.log.Add(history.Call{Start: start, End: end, T: compose(physical, logical)})
}

// compose makes 0 of a timestamp that cannot be valid, which no order permits.
func compose(physical, logical int64) uint64 {
	if physical <= 0 || logical < 0 || logical >= 1<<18 {
		return 0
	}
	return uint64(physical)<<18 | uint64(logical)
}

// Counts returns how many calls have returned a timestamp, and how many an error.
func (t *Tally) Counts() (taken, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken, t.failed
}

// Violations returns what is wrong with the timestamps so far.
func (t *Tally) Violations() []history.Violation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.recorder.Check()
}
