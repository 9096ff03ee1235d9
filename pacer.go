package tso

import (
	"sync/atomic"
	"time"
)

// pacer bounds how often a client's lanes open streams: 40 at once, and in the long run
// fewer than 10 a second. Beside these, where they ask members who serves, each lane has
// 20 at once and then 10 a second, all lanes together 60 and 30, and who PD is about to
// elect is asked 60 times at once and then 20 a second.
//
// A lane that fails again and again draws on one allowance only, so that dc-locations in
// trouble do not hold up the others when those need a stream. For the same reason, what a
// stream over all members takes has an allowance of its own; where that is used up,
// requests go to the leader alone for a while.
type pacer struct {
	first  allowance // for lanes that have just lost their stream
	all    allowance // for everybody
	spread allowance // for streams over all members
	asks   allowance // for tries of all lanes on connections that are there
	likely allowance // for such tries of who is about to be elected
}

var (
	firstRate  = rate{burst: 12, interval: 400 * time.Millisecond}
	allRate    = rate{burst: 28, interval: 150 * time.Millisecond}
	spreadRate = rate{burst: 30, interval: 1500 * time.Millisecond}
	askRate    = rate{burst: 60, interval: 33 * time.Millisecond}
	laneRate   = rate{burst: 20, interval: 100 * time.Millisecond}
	likelyRate = rate{burst: 60, interval: 50 * time.Millisecond}
)

// reserve takes a turn, and returns how long to wait for it. again says that the
// lane's last stream has brought nothing either: if the line is long it takes none, and
// returns false and after how long to ask again. So lanes that need a stream for the first
// time find a short line, however many others are in trouble.
func (p *pacer) reserve(now int64, again bool) (wait time.Duration, ok bool) {
	if again {
		return p.all.take(now, allRate, maxTryWait)
	}
	if p.reserveFirst(now) {
		return 0, true
	}
	return p.all.take(now, allRate, forever)
}

// reserveFirst takes a turn of those for lanes that have just lost their stream, if
// there is one now.
func (p *pacer) reserveFirst(now int64) bool {
	_, ok := p.first.take(now, firstRate, 0)
	return ok
}

// reserveSpread takes n turns at once, for who opens that many streams. If there are not
// enough it takes none, and returns how long that will be so.
func (p *pacer) reserveSpread(now int64, n int) (wait time.Duration) {
	wait, _ = p.spread.takeSome(now, min(n, spreadRate.burst), spreadRate, 0)
	return wait
}

// maxTryWait is how long a try may wait for its turn. A lane that looks for another
// stream has several tries every so often, far more than there are turns, and who has
// waited for one often needs it no more; if all stood in line, the line would get longer
// with each second of trouble, and the lanes would stand in it long after.
const maxTryWait = 300 * time.Millisecond

// reserveTry takes a turn for one of several tries, and returns how long to wait for it, or
// false if that is too long. Tries on connections that are there have turns of their own:
// to ask a member on one, and be told that it does not serve, costs the member less than
// the list of members that a client without a leader asks for meanwhile. lane is what the
// lane has used of its own share of these; a turn of it is lost where the lanes together
// have used up theirs.
func (p *pacer) reserveTry(now int64, t try, lane *allowance) (wait time.Duration, ok bool) {
	switch {
	case t.fresh:
		return p.all.take(now, allRate, maxTryWait)
	case t.likely:
		return p.likely.take(now, likelyRate, maxTryWait)
	}
	if wait, ok = lane.take(now, laneRate, maxTryWait); !ok {
		return wait, false
	}
	all, ok := p.asks.take(now, askRate, maxTryWait)
	return max(wait, all), ok
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
	return a.takeSome(now, 1, r, most)
}

// takeSome is take for n turns, at most a burst, that are used together.
func (a *allowance) takeSome(now int64, n int, r rate, most time.Duration) (wait time.Duration, ok bool) {
	tolerance := int64(r.burst-n) * int64(r.interval)
	for {
		next := a.next.Load()
		turn := max(next, now)
		wait = time.Duration(max(turn-tolerance-now, 0))
		if wait > most {
			return wait, false
		}
		if a.next.CompareAndSwap(next, turn+int64(n)*int64(r.interval)) {
			return wait, true
		}
	}
}
