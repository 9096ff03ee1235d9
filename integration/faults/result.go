package faults

import (
	"slices"
	"time"

	"github.com/tsoring/tso/internal/history"
)

// worthTelling is how long a silence of the cluster is at least that is taken for the
// fault's doing, rather than the machine's, where the floor is told. What clients add
// is beyond all silences.
const worthTelling = 40 * time.Millisecond

// Result is what a run of a row came to.
type Result struct {
	Row Row
	// Floors are the longest silences of the cluster itself, or of the only way to it,
	// one for each time that the fault happened if it was felt.
	Floors []time.Duration
	// Clients are in the order in which they were asked for; those that refused are
	// not among them.
	Clients []Outcome
	// Refused are the clients that do not have the row's options, and what they say.
	Refused map[string]error
	// Machine is the longest that a goroutine waited that wanted no more than to run
	// every 2 ms: what the machine adds to everybody.
	Machine time.Duration
	// Together are the violations over the timestamps of all clients.
	Together []history.Violation
}

// Outcome is how one client fared.
type Outcome struct {
	Client string
	// Adds is the longest that any silence lasted beyond those of the cluster.
	Adds time.Duration
	// At is when that silence was over, counted from when the fault last happened before.
	At time.Duration
	// Scope is the dc-location that it is about; empty for the global scope.
	Scope string
	// Recovered is false if that silence was not over when the run was.
	Recovered bool
	// Calls is the number of calls that succeeded, Errors of those that did not.
	Calls, Errors int
	// Messages are the different errors, as their texts, and how often each came.
	Messages map[string]int
	// Longest is the longest call, also one that failed, or had not returned.
	Longest time.Duration
	// Violations are those of order and uniqueness.
	Violations []history.Violation
}

// Of returns the outcome of a client, nil if it was not there.
func (r *Result) Of(client string) *Outcome {
	for i := range r.Clients {
		if r.Clients[i].Client == client {
			return &r.Clients[i]
		}
	}
	return nil
}

func (t *trial) result(floors [][]span, refused map[string]error) *Result {
	r := &Result{Row: t.row, Refused: refused, Machine: t.machine.longest(t.window)}
	for _, f := range flat(floors) {
		if f.length() >= worthTelling {
			r.Floors = append(r.Floors, f.length())
		}
	}
	slices.Sort(r.Floors)
	r.Floors = r.Floors[max(0, len(r.Floors)-max(1, t.row.Times)):]
	var all []history.Call
	for _, s := range t.subjects {
		calls := s.recorder.Calls()
		all = append(all, calls...)
		r.Clients = append(r.Clients, t.outcome(s, calls, floors))
	}
	r.Together = history.Check(all)
	return r
}

// flat returns the spans of all lists without overlaps.
func flat(lists [][]span) (all []span) {
	for _, l := range lists {
		all = merged(all, l)
	}
	return all
}

func (t *trial) outcome(s *subject, calls []history.Call, floors [][]span) Outcome {
	o := Outcome{Client: s.name, Recovered: true, Messages: make(map[string]int), Violations: history.Check(calls)}
	for i, scope := range s.scopes {
		var ends []int64
		for _, c := range calls {
			if c.Scope == scope.id {
				ends = append(ends, c.End)
			}
		}
		slices.Sort(ends)
		worst, extra := added(silences(ends, t.window, 0), floors[i])
		if extra > o.Adds {
			o.Adds, o.At, o.Scope = extra, t.sinceHit(worst.to), scope.dc
			// A window ends at any moment: a short silence at its end is one between calls.
			o.Recovered = worst.to < t.window.to || extra < worthTelling
		}
	}
	for _, c := range calls {
		o.length(c.Start, c.End, t.window)
		o.Calls++
	}
	for _, f := range s.failed {
		o.length(f.start, f.end, t.window)
		if f.end <= t.window.to {
			o.Errors++
			o.Messages[f.err.Error()]++
		}
	}
	return o
}

// sinceHit returns how long after the latest fault a moment is.
func (t *trial) sinceHit(at int64) time.Duration {
	hit := t.window.from
	for _, h := range t.hits {
		if h <= at {
			hit = h
		}
	}
	return time.Duration(at - hit)
}

// length accounts for a call of which only counts what lies before the window's end.
func (o *Outcome) length(start, end int64, window span) {
	if end < window.from || start > window.to {
		return
	}
	o.Longest = max(o.Longest, time.Duration(min(end, window.to)-start))
}
