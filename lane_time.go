package tso

import (
	"context"
	"sync/atomic"
	"time"
)

// keepTicking starts the ticks if they have stopped. Whoever has made a request
// show in one of the places that idle looks at calls it after that; any goroutine
// may.
func (l *lane) keepTicking() {
	if !l.ticking.Load() && l.ticking.CompareAndSwap(false, true) {
		l.ticked = l.env.now()
		l.tickTimer.Reset(l.tick)
	}
}

// onTick runs on the wheel's goroutine, every tick while the lane has work.
func (l *lane) onTick() {
	l.advance()
	l.swept.Store(true)
	l.takeSeat()
	if l.idle() {
		// Say so first and then look again. A request that neither look has
		// seen is on its way from one place to the next, in the hands of
		// the send seat, or not pushed yet; and whoever puts it there calls
		// keepTicking after it, and finds what is said here.
		l.ticking.Store(false)
		if l.idle() || !l.ticking.CompareAndSwap(false, true) {
			return
		}
	}
	l.tickTimer.Reset(l.tick)
}

// advance moves the clock by the time since the last tick, two ticks at most. The
// clock is what requests have had of the processor's attention rather than of the
// day: where ticks come late, because the process is saturated or was stopped,
// nobody was able to serve them either, and a request pushed before such a gap
// ended must not be taken for one from before it.
func (l *lane) advance() {
	now := l.env.now()
	l.clock.Store(l.clock.Load() + min(now-l.ticked, 2*int64(l.tick)))
	l.ticked = now
}

func (l *lane) idle() bool {
	f := l.current.Load()
	return l.ring.Len() == 0 && l.queued.Load() == 0 && (f == nil || f.len() == 0)
}

// sweep looks at the deadlines: of the oldest RPC, and of the requests in flight
// and queued. In the send seat.
func (l *lane) sweep(f *flight) {
	now := l.clock.Load()
	if f != nil {
		l.sweepFlight(f, now)
	}
	// Requests that nobody could send since the last sweep are taken out of
	// the ring, where they cannot be watched. As many wait in the queue as
	// the ring has room for; those behind them are younger.
	if l.launches == l.seen {
		for l.waiting < l.ring.Cap() && l.ring.Len() > 0 && l.cut() {
		}
	}
	l.seen = l.launches
	for l.queued.Load() > 0 && l.expiryOf(l.queue[l.front]) < now {
		l.failBatch(l.dequeue(), l.spent())
	}
}

func (l *lane) sweepFlight(f *flight, now int64) {
	if s := f.oldest(); s != nil && now > s.sent+int64(l.env.timeout+2*l.tick) {
		f.stream.Close(errRPCTimeout)
	}
	f.each(func(s *flightSlot) bool {
		if s.expiry >= now {
			return false
		}
		// The slot stays until its answer comes, which then finds the
		// batch claimed.
		if s.batch.Claim(s.number) {
			l.failBatch(s.batch, l.spent())
		}
		return true
	})
}

// startSpread is how many ticks apart from the first one's the starts of a batch's
// requests may be: any two are at most twice that apart.
const startSpread = 2

// expiryOf returns when the requests of b have all had their budget, on the coarse
// clock. A start is up to two ticks before the push, and any request's stands for
// all of the batch. Thus the budget ends up to seven ticks late, and never early.
func (l *lane) expiryOf(b *requestBatch) int64 {
	return b.Requests()[0].start + int64(l.env.budget+(2+2*startSpread)*l.tick)
}

// spent returns the error for requests whose budget has ended.
func (l *lane) spent() error {
	l.env.stats.spent.Add(1)
	return &budgetError{dc: l.dc, cause: l.lastCause()}
}

// startLinger starts the batch interval, unless it runs. In the send seat.
func (l *lane) startLinger(interval int64) {
	if !l.lingering {
		l.lingering = true
		l.lingerTimer.Reset(time.Duration(interval))
	}
}

// onLinger runs on the wheel's goroutine at the end of the batch interval.
func (l *lane) onLinger() {
	l.flush.Store(true)
	l.takeSeat()
}

// pushSlow waits until the ring has room for r, and helps to make some.
func (l *lane) pushSlow(ctx context.Context, r *request) error {
	budget := time.NewTimer(l.env.budget)
	defer budget.Stop()
	l.env.stats.ringFull.Add(1)
	l.room.waiting.Add(1)
	defer l.room.waiting.Add(-1)
	for {
		gate := l.room.gate()
		l.look()
		if l.ring.TryPush(r) {
			return nil
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		case <-budget.C:
			return l.spent()
		}
	}
}

// roomGate wakes the callers that wait for room in a ring. A caller announces
// itself, takes the gate, tries its push, and then sleeps at the gate; the holder
// of the send seat makes room, looks whether anybody is announced, and then
// opens the gate and puts up another. So a caller either finds room, or the gate
// that it took is opened after it was taken.
type roomGate struct {
	waiting atomic.Int32
	current atomic.Pointer[chan struct{}]
}

func (g *roomGate) init() {
	c := make(chan struct{})
	g.current.Store(&c)
}

func (g *roomGate) gate() <-chan struct{} { return *g.current.Load() }

// open lets everybody try again. It costs a load when nobody waits.
func (g *roomGate) open() {
	if g.waiting.Load() == 0 {
		return
	}
	c := make(chan struct{})
	close(*g.current.Swap(&c))
}
