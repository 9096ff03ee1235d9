package soak

import (
	"slices"
	"time"
)

// slacks are what readings may be above another without a leak.
type slacks struct{ goroutines, connections, descriptors, heap int }

// With few quiet moments, that just after a fault may be the last: each client may still
// have another connection to each member. With many there is one among them that is not.
var (
	slackOfFew  = slacks{goroutines: 72, connections: 9, descriptors: 12, heap: 8 << 20}
	slackOfMany = slacks{goroutines: 12, connections: 2, descriptors: 4, heap: 4 << 20}
)

// many is how many quiet moments are many.
const many = 9

// judgeQuiets finds what grew from the first third of the quiet moments to the last: the
// least of the last above the most of the first, so that what comes and goes is none.
func judgeQuiets(quiets []Reading, found func(kind, format string, args ...any)) {
	if len(quiets) < 2 {
		return
	}
	n := max(1, len(quiets)/3)
	slack := slackOfFew
	if len(quiets) >= many {
		slack = slackOfMany
	}
	first, last := quiets[:n], quiets[len(quiets)-n:]
	for _, series := range []struct {
		kind  string
		of    func(Reading) int
		slack int
	}{
		{"goroutines", func(r Reading) int { return r.Goroutines }, slack.goroutines},
		{"connections", func(r Reading) int { return r.Connections }, slack.connections},
		{"descriptors", func(r Reading) int { return r.Descriptors }, slack.descriptors},
		{"heap", func(r Reading) int { return int(r.Heap) }, slack.heap},
	} {
		before, after := readings(first, series.of), readings(last, series.of)
		if slices.Min(after) > slices.Max(before)+series.slack {
			found("leak", "%s grew from at most %d in the first %d quiet moments to at least %d in the last",
				series.kind, slices.Max(before), n, slices.Min(after))
		}
	}
}

func readings(of []Reading, what func(Reading) int) []int {
	var all []int
	for _, r := range of {
		all = append(all, what(r))
	}
	return all
}

// judgeEnd finds what is left of the clients when all are closed.
func (r *run) judgeEnd(before Reading) Reading {
	var now Reading
	for began := time.Now(); time.Since(began) < r.cfg.pace.lingers; {
		now = r.readQuiet()
		if now.Goroutines <= before.Goroutines && now.Connections == 0 && now.Descriptors <= before.Descriptors {
			return now
		}
	}
	r.profile("end")
	r.ledger.find("leak", "all clients are closed, and there are %d goroutines (%d before there were any), "+
		"%d connections, %d descriptors (%d before)", now.Goroutines, before.Goroutines,
		now.Connections, now.Descriptors, before.Descriptors)
	return now
}
