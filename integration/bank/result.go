package bank

import (
	"slices"
	"time"
)

// Result is what became of a run's transactions.
type Result struct {
	// Committed are transfers, Conflicts transactions that lost against others, and Failed
	// those that ended in another error, audits included.
	Committed, Conflicts, Failed int
	// Audits are those that added up, Unbalanced those that did not: no store may have any.
	Audits, Unbalanced int
	// Messages are the errors of what has failed, and how often each came.
	Messages map[string]int
	// Durations are those of all transactions, from Begin to the end of Commit.
	Durations []time.Duration
	// Silence is the longest time in which no transfer was committed.
	Silence time.Duration
	// Took is how long the run lasted.
	Took time.Duration
}

// Slow returns how many transactions took longer than d.
func (r *Result) Slow(d time.Duration) (n int) {
	for _, took := range r.Durations {
		if took > d {
			n++
		}
	}
	return n
}

// Longest returns the longest that a transaction took.
func (r *Result) Longest() time.Duration { return r.Quantile(1) }

// Quantile returns what the q-th part of all transactions took at most.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.Durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.Durations))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Rate returns how many transfers were committed a second.
func (r *Result) Rate() float64 { return float64(r.Committed) / r.Took.Seconds() }
