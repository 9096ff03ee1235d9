package tso

import (
	"sync/atomic"
	"time"
)

// pacer bounds how often a client's lanes open streams: 40 at once, and in the long run
// fewer than 10 a second; beside these, 20 at once and then 10 a second where they ask
// other members who serves, and 30 at once and then 20 a second of the one that PD is
// about to elect. A lane that fails again and again draws on one allowance only, so that
// dc-locations in trouble do not hold up the others when those need a stream.
type pacer struct {
	first  allowance // for lanes that have just lost their stream
	all    allowance // for everybody
	asks   allowance // for tries on connections that are there
	likely allowance // for such tries of who is about to be elected
}

var (
	firstRate  = rate{burst: 12, interval: 400 * time.Millisecond}
	allRate    = rate{burst: 28, interval: 150 * time.Millisecond}
	askRate    = rate{burst: 20, interval: 100 * time.Millisecond}
	likelyRate = rate{burst: 30, interval: 50 * time.Millisecond}
)

// reserve takes a turn, and returns how long to wait for it. again says that the
// lane's last stream has brought nothing either.
func (p *pacer) reserve(now int64, again bool) time.Duration {
	if !again && p.reserveFirst(now) {
		return 0
	}
	wait, _ := p.all.take(now, allRate, forever)
	return wait
}

// reserveFirst takes a turn of those for lanes that have just lost their stream, if
// there is one now.
func (p *pacer) reserveFirst(now int64) bool {
	_, ok := p.first.take(now, firstRate, 0)
	return ok
}

// more takes n further turns, for who opens several streams at a time. They are paid
// for by who comes next, up to a second: lanes in good order must not stand in line for
// long because of what others have had.
func (p *pacer) more(now int64, n int) {
	for range n {
		p.all.take(now, allRate, maxTryWait)
	}
}

// maxTryWait is how long a try may wait for its turn. A lane that looks for another
// stream has several tries every so often, far more than there are turns, and who has
// waited for one often needs it no more; if all stood in line, the line would get longer
// with each second of trouble, and the lanes would stand in it long after.
const maxTryWait = 300 * time.Millisecond

// reserveTry takes a turn for one of several tries, and returns how long to wait for
// it, or false if that is too long: then none is taken. Tries on connections that are
// there have turns of their own: to ask a member on one, and be told that it does not
// serve, costs the member less than the list of members that a client without a leader
// asks for meanwhile.
func (p *pacer) reserveTry(now int64, t try) (wait time.Duration, ok bool) {
	switch {
	case t.fresh:
		return p.all.take(now, allRate, maxTryWait)
	case t.likely:
		return p.likely.take(now, likelyRate, maxTryWait)
	default:
		return p.asks.take(now, askRate, maxTryWait)
	}
}

// rate is burst events at once, and one each interval.
type rate struct {
	burst    int
	interval time.Duration
}

// allowance is the generic cell rate algorithm (ITU-T I.371): one word, the time
// of the next event if all came evenly, advanced by compare-and-swap.
type allowance struct {
	next atomic.Int64 // ns on the caller's clock
}

// take takes the next turn and returns how long to wait for it. If that is longer than
// most, it takes none and reports false.
func (a *allowance) take(now int64, r rate, most time.Duration) (wait time.Duration, ok bool) {
	tolerance := int64(r.burst-1) * int64(r.interval)
	for {
		next := a.next.Load()
		turn := max(next, now)
		wait = time.Duration(max(turn-tolerance-now, 0))
		if wait > most {
			return wait, false
		}
		if a.next.CompareAndSwap(next, turn+int64(r.interval)) {
			return wait, true
		}
	}
}
