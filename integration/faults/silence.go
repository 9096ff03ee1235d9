package faults

import "time"

// span is an interval on the clock of a run.
type span struct{ from, to int64 }

func (s span) length() time.Duration { return time.Duration(s.to - s.from) }

// overlap returns for how long both spans last together.
func (s span) overlap(other span) time.Duration {
	return max(0, span{max(s.from, other.from), min(s.to, other.to)}.length())
}

// silences returns the gaps between the given times, which are in order, that last
// at least so long and reach into the window; also the one that is not over at its
// end.
func silences(times []int64, window span, least time.Duration) []span {
	var found []span
	before := window.from
	for i, at := range append(times[:len(times):len(times)], window.to) {
		last := i == len(times)
		if at <= window.from && !last {
			before = at
			continue
		}
		gap := span{before, min(at, window.to)}
		if gap.length() >= least && gap.from < window.to {
			found = append(found, gap)
		}
		if at >= window.to {
			break
		}
		before = at
	}
	return found
}

// added returns the most that any silence of a client lasted beyond the floor's,
// which do not overlap each other.
func added(client, floor []span) (most span, extra time.Duration) {
	for _, s := range client {
		beyond := s.length()
		for _, f := range floor {
			beyond -= s.overlap(f)
		}
		if beyond > extra {
			most, extra = s, beyond
		}
	}
	return most, extra
}

// merged returns spans without overlaps, given those of two lists that have none
// within.
func merged(a, b []span) []span {
	result := append([]span(nil), a...)
	for _, s := range b {
		rest := result[:0:0]
		for _, r := range result {
			if r.overlap(s) > 0 {
				s = span{min(s.from, r.from), max(s.to, r.to)}
				continue
			}
			rest = append(rest, r)
		}
		result = append(rest, s)
	}
	return result
}
