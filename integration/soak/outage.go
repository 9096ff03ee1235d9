package soak

import (
	"slices"
	"sync"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
)

const (
	// askInterval is how often each member is asked.
	askInterval = 50 * time.Millisecond
	// outageMin is the shortest silence of all members that is taken for an outage.
	outageMin = 300 * time.Millisecond
	// remembered is for how long an outage is kept: longer than any call may take.
	remembered = 2 * time.Minute
)

// span is a time on the clock of a run; one that is not over ends at endless.
type span struct{ from, to int64 }

const endless = 1 << 62

// outages knows when nobody could be served, and when only those who forward could.
type outages struct {
	clock   func() int64
	watch   *pdcluster.Watch
	ending  chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	last    int64  // guarded by mu; when a member was last seen to answer
	silence []span // guarded by mu; no member served
	cuts    []*cut // guarded by mu
}

// cut is a time in which a path was cut, or all.
type cut struct {
	span
	all bool
}

func watchOutages(c *pdcluster.Cluster, clock func() int64) (*outages, error) {
	w, err := c.Watch("", askInterval, clock)
	if err != nil {
		return nil, err
	}
	o := &outages{clock: clock, watch: w, ending: make(chan struct{}), last: clock()}
	o.running.Go(o.follow)
	return o, nil
}

func (o *outages) stop() {
	close(o.ending)
	o.running.Wait()
	o.watch.Stop()
}

func (o *outages) follow() {
	tick := time.NewTicker(askInterval / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.served(o.watch.Last())
		case <-o.ending:
			return
		}
	}
}

// served notes when a member last answered.
func (o *outages) served(at int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at <= o.last {
		return
	}
	if at-o.last > int64(outageMin) {
		o.silence = append(o.silence, span{o.last, at})
	}
	o.last = at
	old := o.clock() - int64(remembered)
	o.silence = slices.DeleteFunc(o.silence, func(s span) bool { return s.to < old })
	o.cuts = slices.DeleteFunc(o.cuts, func(c *cut) bool { return c.to < old })
}

// cut notes that clients may not reach the leader directly, or with all set not at all,
// until the function that is returned is called.
func (o *outages) cut(all bool) (end func()) {
	s := &cut{span{o.clock(), endless}, all}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cuts = append(o.cuts, s)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		s.to = o.clock()
	}
}

// clear returns the longest time without a break, within a span, in which a client
// could have been served.
func (o *outages) clear(from, to int64, forwarding bool) time.Duration {
	o.mu.Lock()
	outs := slices.Clone(o.silence)
	if now := o.clock(); now-o.last > int64(outageMin) {
		outs = append(outs, span{o.last, endless})
	}
	for _, c := range o.cuts {
		if c.all || !forwarding {
			outs = append(outs, c.span)
		}
	}
	o.mu.Unlock()
	return longestClear(outs, from, to)
}

// longestClear returns the longest part of a span that is free of others.
func longestClear(outs []span, from, to int64) time.Duration {
	slices.SortFunc(outs, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	var longest int64
	for _, out := range append(outs, span{to, endless}) {
		longest = max(longest, min(out.from, to)-from)
		from = max(from, out.to)
	}
	return time.Duration(longest)
}
