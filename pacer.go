package tso

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// pacer bounds how often a client's lanes open streams: 50 at once, and in the long run
// fewer than 10 a second. Beside these, where they ask members who serves, each lane has
// 20 at once and then 10 a second, or 100 and 30 where nothing tells of the member that PD
// will choose, as for dc-locations; all lanes together have 480 and 80. Who PD is about to
// elect is asked at pauses of the search's. Where a host refuses to be connected to, which
// no member hears of, it is asked again 25 times a second, and 10 times after 3 s of that;
// where it does not answer, 10 times a second, and twice after 25 s of that, as gateways
// remember each for minutes.
//
// A lane that fails again and again draws on one allowance only, so that dc-locations in
// trouble do not hold up the others when those need a stream. For the same reason, what a
// stream over all members takes has an allowance of its own; where that is used up,
// requests go to the leader alone for a while.
type pacer struct {
	first   allowance // for lanes that have just lost their stream
	all     allowance // for everybody
	spread  allowance // for streams over all members
	asks    allowance // for tries of all lanes on connections that are there
	search  allowance // for the search of a lane for another stream
	knocks  allowance // for connects that have been refused
	knocked allowance // for these in the long run
	repeats allowance // for connects beside those that are not answered
	silence allowance // for these in the long run
}

var (
	firstRate  = rate{burst: 12, interval: 400 * time.Millisecond}
	allRate    = rate{burst: 28, interval: 150 * time.Millisecond}
	spreadRate = rate{burst: 30, interval: 1500 * time.Millisecond}
	askRate    = rate{burst: 480, interval: 12500 * time.Microsecond}
	laneRate   = rate{burst: 20, interval: 100 * time.Millisecond}
	dcRate     = rate{burst: 100, interval: 33 * time.Millisecond}
	searchRate = rate{burst: 10, interval: 2 * time.Second}
	knockRate  = rate{burst: 1, interval: 40 * time.Millisecond}
	knocksRate = rate{burst: 50, interval: 100 * time.Millisecond}
	repeatRate = rate{burst: 1, interval: 100 * time.Millisecond}

	silenceRate = rate{burst: 200, interval: 500 * time.Millisecond}

	// spareRate is firstRate for who leaves half of what is at once to others.
	spareRate = rate{burst: firstRate.burst / 2, interval: firstRate.interval}
)

// reserve takes a turn, and returns how long to wait for it. again says that the
// lane's last stream has brought nothing either: if the line is long it takes none, and
// returns false and after how long to ask again. So lanes that need a stream for the first
// time find a short line, however many others are in trouble.
func (p *pacer) reserve(now int64, again bool) (wait time.Duration, ok bool) {
	if again {
		return p.queue(now, maxTryWait)
	}
	if p.reserveFirst(now) {
		return 0, true
	}
	return p.queue(now, forever)
}

// queue takes a turn of those for everybody. Who has to wait for it waits a little longer
// by chance: many clients lose their streams at the same moment, and their turns would
// come at the same moments for ever.
func (p *pacer) queue(now int64, most time.Duration) (wait time.Duration, ok bool) {
	wait, ok = p.all.take(now, allRate, most)
	if wait > 0 {
		wait += rand.N(allRate.interval / 4)
	}
	return wait, ok
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
// the list of members that a client without a leader asks for meanwhile. A turn of the
// lane's own share of these is lost where the lanes together have used up theirs.
func (p *pacer) reserveTry(now int64, t try, lane *share) (wait time.Duration, ok bool) {
	switch {
	case t.fresh:
		return p.reserveFresh(now)
	case t.likely:
		return 0, true // it is asked at pauses that grow
	}
	if wait, ok = lane.take(now, lane.rate, maxTryWait); !ok {
		return wait, false
	}
	all, ok := p.asks.take(now, askRate, maxTryWait)
	return max(wait, all), ok
}

// reserveSearch takes a turn for a lane to look for another stream, which costs one if it
// is found: where streams that have answered a question end again and again, they are no
// more than those that lanes open by themselves. It returns how long to wait and what gives
// the turn back, or false and after how long to ask again.
func (p *pacer) reserveSearch(now int64) (wait time.Duration, giveBack func(), ok bool) {
	if _, ok = p.search.take(now, searchRate, 0); ok {
		return 0, func() { p.search.giveBack(searchRate) }, true
	}
	wait, ok = p.queue(now, maxTryWait)
	return wait, func() { p.all.giveBack(allRate) }, ok
}

// reserveFresh takes a turn for a try that takes a connection: also of those for lanes that
// have just lost their stream, as long as half of these are left. So a path that is back
// is found after 55 ms at the median, not 75.
func (p *pacer) reserveFresh(now int64) (wait time.Duration, ok bool) {
	if _, ok = p.all.take(now, allRate, 0); ok {
		return 0, true
	}
	if _, ok = p.first.take(now, spareRate, 0); ok {
		return 0, true
	}
	return p.queue(now, maxTryWait)
}

// reserveKnock takes a turn to connect to who has refused it, and returns how long to wait
// for it.
func (p *pacer) reserveKnock(now int64) (wait time.Duration) {
	wait, _ = p.knocks.take(now, knockRate, forever)
	late, _ := p.knocked.take(now, knocksRate, forever)
	return max(wait, late, knockRate.interval) + rand.N(knockRate.interval/4)
}

// reserveRepeat takes a turn to connect once more to who has not answered, and returns how long
// to wait for it, or false and after how long to ask again.
func (p *pacer) reserveRepeat(now int64) (wait time.Duration, ok bool) {
	wait, ok = p.repeats.take(now, repeatRate, maxTryWait)
	if ok {
		var late time.Duration
		late, ok = p.silence.take(now, silenceRate, 2*silenceRate.interval)
		wait = max(wait, late)
	}
	return max(wait, repeatRate.interval) + rand.N(repeatRate.interval/4), ok
}

// share is what one lane may use of what all have, and has used.
type share struct {
	allowance
	rate rate
}

// shareOf returns the share of the lane of a dc-location.
func shareOf(dc string) share {
	if dc == globalDC {
		return share{rate: laneRate}
	}
	return share{rate: dcRate}
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

// giveBack returns a turn that was not used.
func (a *allowance) giveBack(r rate) { a.next.Add(-int64(r.interval)) }

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
