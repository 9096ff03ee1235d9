package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tsoring/tso"
)

// Verdict is what a run came to.
type Verdict struct {
	// Took is how long it was, Seed what decided it.
	Took time.Duration
	Seed uint64
	// Calls is the number of timestamps that were handed out and checked; Unchecked of
	// them came too late to be checked for duplicates.
	Calls, Unchecked uint64
	// Outcomes counts the calls by what came of them, by name.
	Outcomes map[string]int64
	// Longest is the longest call, Late the most that a call came back after its end.
	Longest, Late time.Duration
	// LateP99 is that at the 99th percentile of those that came back after it.
	LateP99 time.Duration
	// Faults counts what has happened, by name; Missed could not be made to happen.
	Faults map[string]int
	Missed int
	// Died is how many members ended without being told to.
	Died int64
	// Disturbed is in how many of them connections broke as well.
	Disturbed int64
	// Stats are those of the two clients that lived as long as the run.
	Stats [2]tso.Stats
	// Clients is the number of clients that there were.
	Clients int64
	// Before is from before there were any, Quiets from the quiet moments, and After from
	// when all were closed.
	Before Reading
	Quiets []Reading
	After  Reading
	// Found counts the findings by their kind, and Examples has some of each.
	Found    map[string]int
	Examples []string
}

func (r *run) verdict(before, after Reading) *Verdict {
	judgeQuiets(r.quiets, r.ledger.find)
	if r.ledger.outcomes[served].Load() == 0 {
		r.ledger.find("idle", "no call was served")
	}
	for _, v := range r.order.Violations() {
		r.ledger.find(v.Kind.String(), "%v", v)
	}
	v := &Verdict{
		Took: time.Duration(r.clock()), Seed: r.cfg.Seed,
		Calls: r.order.Calls(), Unchecked: r.order.Unchecked(),
		Longest: time.Duration(r.ledger.longest.Load()), Late: time.Duration(r.ledger.latest.Load()),
		LateP99: r.ledger.late.takeP99(),
		Faults:  r.nemesis.done, Missed: r.nemesis.missed, Disturbed: r.nemesis.disturbed.Load(), Died: r.nemesis.died.Load(), Stats: r.fleet.stats,
		Clients: r.fleet.born.Load(),
		Before:  before, Quiets: r.quiets, After: after,
		Outcomes: make(map[string]int64),
	}
	for i, name := range outcomeNames {
		v.Outcomes[name] = r.ledger.outcomes[i].Load()
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	v.Found, v.Examples = maps.Clone(r.ledger.found), slices.Clone(r.ledger.examples)
	return v
}

// Pass reports whether nothing was found.
func (v *Verdict) Pass() bool { return len(v.Found) == 0 }

// String is the verdict for a reader.
func (v *Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%v with seed %d, %d clients\n", v.Took.Round(time.Second), v.Seed, v.Clients)
	fmt.Fprintf(&b, "calls     %d checked for order, %d of them not for duplicates\n", v.Calls, v.Unchecked)
	fmt.Fprintf(&b, "outcomes  %s\n", counts(v.Outcomes))
	fmt.Fprintf(&b, "longest   %v; after their end calls came back by up to %v, %v at p99\n",
		short(v.Longest), short(v.Late), short(v.LateP99))
	fmt.Fprintf(&b, "faults    %s; %d could not be made to happen; connections broke during %d; %d members died by themselves\n",
		counts(v.Faults), v.Missed, v.Disturbed, v.Died)
	for slot, name := range []string{resident: "resident", forwarder: "forwarder"} {
		s := v.Stats[slot]
		fmt.Fprintf(&b, "%-9s %d RPCs, %d streams, %d batches sent again, %d suspicions, %d probes, %d cut-overs, %d bad answers, %d fallbacks\n",
			name, s.RPCs, s.Streams, s.Resent, s.Suspicions, s.Probes, s.CutOvers, s.BadAnswers, s.Fallbacks)
	}
	fmt.Fprintf(&b, "before    %v\n", v.Before)
	for i, q := range v.Quiets {
		// The first and the last few tell all that grows.
		if i < 3 || i >= len(v.Quiets)-3 {
			fmt.Fprintf(&b, "quiet     %v\n", q)
		}
	}
	fmt.Fprintf(&b, "after     %v\n", v.After)
	for _, e := range v.Examples {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	if v.Pass() {
		b.WriteString("PASS\n")
	} else {
		fmt.Fprintf(&b, "FAIL: %s\n", counts(v.Found))
	}
	return b.String()
}

// counts is a map's content in a line, in order.
func counts[N int | int64](of map[string]N) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if of[name] != 0 {
			all = append(all, fmt.Sprintf("%s %d", name, of[name]))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
