package history

import (
	"cmp"
	"slices"
)

// Check returns every violation in a complete history, under the order that the
// contract promises. It takes O(n log n) and does not change calls.
func Check(calls []Call) []Violation {
	return CheckOrder(calls, Contract)
}

// CheckOrder is [Check] with a choice of which scopes are ordered against each
// other.
//
// Each call is at fault at most once for order, against the largest timestamp
// it should have exceeded, and each further holder of a timestamp once for
// uniqueness. A pair of calls that is not concurrent and holds the same
// timestamp breaks both. If a call is malformed, only those are returned.
func CheckOrder(calls []Call, order Order) []Violation {
	if found := malformed(calls); found != nil {
		return found
	}
	return append(realTime(calls, order), duplicates(calls)...)
}

func malformed(calls []Call) []Violation {
	var found []Violation
	for _, c := range calls {
		if c.End < c.Start {
			found = append(found, Violation{KindMalformed, c, c})
		}
	}
	return found
}

// realTime sweeps through the calls by start, and moves those that ended before
// that instant below the floor. A call that ends in the very nanosecond in which
// another starts counts as concurrent with it.
func realTime(calls []Call, order Order) []Violation {
	byStart, byEnd := slices.Clone(calls), slices.Clone(calls)
	slices.SortFunc(byStart, func(a, b Call) int { return cmp.Compare(a.Start, b.Start) })
	slices.SortFunc(byEnd, func(a, b Call) int { return cmp.Compare(a.End, b.End) })

	var found []Violation
	floors, ended := newFloors(order), 0
	for _, c := range byStart {
		for ; ended < len(byEnd) && byEnd[ended].End < c.Start; ended++ {
			floors.raise(&byEnd[ended])
		}
		if floor := floors.below(c.Scope); floor != nil && c.T <= floor.T {
			found = append(found, Violation{KindOrder, *floor, c})
		}
	}
	return found
}

func duplicates(calls []Call) []Violation {
	byT := slices.Clone(calls)
	slices.SortFunc(byT, func(a, b Call) int {
		return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(a.Start, b.Start))
	})
	var found []Violation
	for i := 1; i < len(byT); i++ {
		if byT[i-1].T == byT[i].T {
			found = append(found, Violation{KindDuplicate, byT[i-1], byT[i]})
		}
	}
	return found
}

// CreationOrder checks the timestamps of the futures of one goroutine, given in
// the order in which the futures were created: they must strictly increase. The
// order in which they were waited for does not matter.
func CreationOrder(ts []uint64) []Violation {
	var found []Violation
	for i := 1; i < len(ts); i++ {
		if ts[i] <= ts[i-1] {
			found = append(found, Violation{KindCreation, future(i-1, ts), future(i, ts)})
		}
	}
	return found
}

// future makes a call of a future's position, so that a violation can name it.
func future(i int, ts []uint64) Call {
	return Call{Start: int64(i), End: int64(i), T: ts[i]}
}
