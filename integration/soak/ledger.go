package soak

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// outcome is what came of a call, as far as it is counted.
type outcome int

const (
	served    outcome = iota
	deadline          // the caller's deadline came
	cancelled         // the caller cancelled
	closed            // the client was closed
	spent             // the budget was spent, and there was an outage
	forbidden         // an error that the contract forbids
	outcomeCount
)

var outcomeNames = [outcomeCount]string{"served", "deadline", "cancelled", "closed", "budget", "FORBIDDEN"}

// ledger counts calls and keeps what was found.
type ledger struct {
	outcomes [outcomeCount]atomic.Int64
	latency  histogram
	late     histogram // by how much calls came back after their deadline
	longest  atomic.Int64
	latest   atomic.Int64 // the largest of late

	mu       sync.Mutex
	found    map[string]int // guarded by mu; by kind
	examples []string       // guarded by mu; the first of each kind
}

// examplesKept is how many findings of a kind are kept in full.
const examplesKept = 8

// find notes that something is not as it must be.
func (l *ledger) find(kind, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found == nil {
		l.found = make(map[string]int)
	}
	l.found[kind]++
	if l.found[kind] <= examplesKept {
		l.examples = append(l.examples, kind+": "+fmt.Sprintf(format, args...))
	}
}

// raise sets m to n unless it is larger already.
func raise(m *atomic.Int64, n int64) {
	for old := m.Load(); n > old; old = m.Load() {
		if m.CompareAndSwap(old, n) {
			return
		}
	}
}
