package soak

import (
	"slices"
	"time"
)

// What a reading may be above another without being called a leak.
const (
	slackRoutines    = 24
	slackConnections = 6
	slackDescriptors = 10
	slackHeap        = 6 << 20
)

// judgeQuiets finds what grew from the first third of the quiet moments to the last: the
// least of the last above the most of the first, so that what comes and goes is none.
func judgeQuiets(quiets []Reading, found func(kind, format string, args ...any)) {
	if len(quiets) < 2 {
		return
	}
	n := max(1, len(quiets)/3)
	first, last := quiets[:n], quiets[len(quiets)-n:]
	for _, series := range []struct {
		kind  string
		of    func(Reading) int
		slack int
	}{
		{"goroutines", func(r Reading) int { return r.Goroutines }, slackRoutines},
		{"connections", func(r Reading) int { return r.Connections }, slackConnections},
		{"descriptors", func(r Reading) int { return r.Descriptors }, slackDescriptors},
		{"heap", func(r Reading) int { return int(r.Heap) }, slackHeap},
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

// endPatience is how long what a closed client has left may linger: connections that
// the paths have not seen closed yet.
const endPatience = 10 * time.Second

// judgeEnd finds what is left of the clients when all are closed.
func (r *run) judgeEnd(before Reading) Reading {
	var now Reading
	for began := time.Now(); time.Since(began) < endPatience; {
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
