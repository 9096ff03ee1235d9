package soak

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

const (
	// quietFor is how long it is quiet before anything is read for good, and quietStep
	// how often it is read.
	quietFor, quietStep = 2 * time.Second, 100 * time.Millisecond
	// shutPatience is how long callers may take to be back: as long as the longest call.
	shutPatience = budgetEnd + 2*slack
	// linkRoutines and linkDescriptors are what one connection costs a path of package
	// pdpath, which is in this process.
	linkRoutines, linkDescriptors = 5, 2
)

// Reading is what the process holds on to. What the paths need is not in it: their
// number of connections also depends on PD.
type Reading struct {
	At          time.Duration
	Goroutines  int
	Connections int // of clients
	Descriptors int
	Heap        uint64
}

// String returns the reading in a line.
func (r Reading) String() string {
	return fmt.Sprintf("%v: %d goroutines, %d connections, %d descriptors, %.1f MiB of heap",
		r.At.Round(time.Second), r.Goroutines, r.Connections, r.Descriptors, float64(r.Heap)/(1<<20))
}

// read returns what there is now. Garbage is not collected for that.
func (r *run) read() Reading {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	now := Reading{At: time.Duration(r.clock()), Heap: stats.HeapAlloc}
	var links int
	for _, m := range r.cfg.Cluster.Members() {
		clients, members := m.Path.Links()
		now.Connections += clients
		links += clients + members
	}
	now.Goroutines = runtime.NumGoroutine() - links*linkRoutines
	now.Descriptors = descriptors() - links*linkDescriptors
	return now
}

// readQuiet reads for a while, and returns the least of each: what only lingers is gone
// by then, what is on its way has come.
func (r *run) readQuiet() Reading {
	debug.FreeOSMemory()
	least := r.read()
	for began := time.Now(); time.Since(began) < quietFor; {
		<-time.NewTimer(quietStep).C
		least = least.min(r.read())
	}
	runtime.GC() // the second time pools let go
	return least.min(r.read())
}

func (r Reading) min(other Reading) Reading {
	return Reading{
		At:          max(r.At, other.At),
		Goroutines:  min(r.Goroutines, other.Goroutines),
		Connections: min(r.Connections, other.Connections),
		Descriptors: min(r.Descriptors, other.Descriptors),
		Heap:        min(r.Heap, other.Heap),
	}
}

// quiet stops everybody, reads, and lets them go on. A caller that does not come back
// is a finding.
func (r *run) quiet() {
	ctx, cancel := context.WithTimeout(context.Background(), shutPatience)
	defer cancel()
	defer r.gate.open()
	if !r.gate.shut(ctx) {
		r.ledger.find("stuck", "callers are not back %v after they were told to stop", shutPatience)
		return
	}
	r.fleet.still.Lock()
	defer r.fleet.still.Unlock()
	r.fleet.calm()
	r.quiets = append(r.quiets, r.readQuiet())
	fmt.Fprintf(r.cfg.Out, "quiet at %v\n", r.quiets[len(r.quiets)-1])
}

// descriptors returns how many the process has open, the one for looking included.
func descriptors() int {
	names, err := os.ReadDir("/dev/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

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
		now = r.read()
		if now.Goroutines <= before.Goroutines && now.Connections == 0 && now.Descriptors <= before.Descriptors {
			return now
		}
		<-time.NewTimer(quietStep).C
	}
	r.ledger.find("leak", "all clients are closed, and there are %d goroutines (%d before there were any), "+
		"%d connections, %d descriptors (%d before)", now.Goroutines, before.Goroutines,
		now.Connections, now.Descriptors, before.Descriptors)
	return now
}
