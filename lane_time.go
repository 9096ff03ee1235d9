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
		l.tickTimer.Reset(l.untilTick())
	}
}

// untilTick returns the time from one tick to the next, which is shorter where a silent
// stream is doubted sooner. More ticks than l.tick asks for make deadlines more exact.
func (l *lane) untilTick() time.Duration {
	if f := l.current.Load(); f != nil && f.relayed {
		return min(l.tick, relayPatience/2)
	}
	return l.tick
}

// onTick runs on the wheel's goroutine, every tick while the lane has work. That
// goroutine serves all lanes, so it never enters the seat.
func (l *lane) onTick() {
	l.advance()
	l.oversee()
	l.sweepDue.Store(true)
	l.summon()
	if l.idle() && l.stopTicking() {
		return
	}
	l.tickTimer.Reset(l.untilTick())
}

// stopTicking says that no tick is to come, and reports whether that is so: it says so
// first and then looks again. A request that neither look has seen is on its way from one
// place to the next, in the hands of the send seat, or not pushed yet; and whoever puts it
// there calls keepTicking after it, and finds what is said here. At a tick.
func (l *lane) stopTicking() bool {
	l.ticking.Store(false)
	return l.idle() || !l.ticking.CompareAndSwap(false, true)
}

// lateTick is by how much a tick may come late and still count for its whole
// length. Wheel and scheduler make a tick of 1 ms up to some milliseconds late.
const lateTick = 10 * time.Millisecond

// advance moves the clock by the time since the last tick, slack at most. The
// clock is what requests have had of the processor's attention rather than of the
// day: where ticks come late, because the process is saturated or was stopped,
// nobody was able to serve them either, and a request pushed before such a gap
// ended must not be taken for one from before it.
func (l *lane) advance() {
	now := l.env.now()
	l.clock.Store(l.clock.Load() + min(now-l.ticked, int64(l.slack)))
	l.late = now-l.ticked > int64(l.untilTick()+lateTick)
	l.ticked = now
}

// idle reports whether there is nothing to look at: no request queued, in the ring or in
// flight, and no Send under way, whose request may have been answered all the same.
func (l *lane) idle() bool {
	f := l.current.Load()
	return l.ring.Len() == 0 && l.queued.Load() == 0 && (f == nil || f.len() == 0 && f.sending.Load() == 0)
}

// sendPatience is for how long a Send may be under way. It takes some microseconds, but
// in a saturated process a goroutine may be held up in it for longer than 100 ms.
const sendPatience = 250 * time.Millisecond

// oversee looks at the stream: at a Send that does not return, and at the oldest RPC.
// Neither needs the seat, whose holder it is that may hang: it is freed by the end of
// its stream, which ends the Send. At a tick.
func (l *lane) oversee() {
	f := l.current.Load()
	if f == nil || f == noFlight {
		return
	}
	now := l.clock.Load()
	if since := f.sending.Load(); since != 0 && now-since > int64(sendPatience) {
		f.stream.Close(errSendBlocked)
		return
	}
	if s := f.oldest(); s != nil {
		l.doubt(f, s.sentAt.Load(), now-s.sentTick.Load())
	}
}

// sweep looks at the budgets of the requests in flight and queued, and has the ring grow
// if somebody has found it full. In the send seat.
func (l *lane) sweep(f *flight) {
	if l.room.waiting.Load() > 0 && l.ring.Grow(l.env.capacity) {
		l.room.open()
	}
	now := l.clock.Load()
	if f != nil {
		l.sweepFlight(f, now)
	}
	// Requests that nobody has sent for long are taken out of the ring, where
	// they cannot be watched. As many wait in the queue as the ring has room
	// for; those behind them are younger. A quarter of the budget makes few
	// batches of them.
	if now-l.moved > int64(l.env.budget/4) {
		for l.waiting < l.env.capacity && l.ring.Len() > 0 && l.cut() {
		}
	}
	l.sweepQueue(now)
}

// sweepQueue fails the requests in the queue whose budget has ended.
func (l *lane) sweepQueue(now int64) {
	for l.queued.Load() > 0 {
		b := l.queue.oldest()
		if l.expiryOf(b) >= now {
			return
		}
		l.waiting -= l.failExpired(b, now)
		if b.Len() > 0 {
			return
		}
		l.freeBatch(l.dequeue())
	}
}

// sweepFlight fails the requests in flight whose budget has ended.
func (l *lane) sweepFlight(f *flight, now int64) {
	f.each(func(s *flightSlot) bool {
		if s.expiry >= now {
			return false
		}
		if s.batch.Borrow(s.number) {
			l.sweepSlot(s, now)
		}
		return true
	})
}

// doubt looks at how long the oldest RPC has been unanswered, age on the coarse clock, and
// gives the stream up if that is too long. Suspicion looks at the exact clock too: the coarse one may say a tick
// too much. At a tick.
func (l *lane) doubt(f *flight, sentAt, age int64) {
	if age > int64(l.env.timeout+l.slack) {
		// Also where answers have been so late lately that patience is longer: the
		// next stream on a connection that is dead would be no better.
		l.suspect(true)
		f.stream.Close(errRPCTimeout)
	}
	patience := l.patience.Load()
	switch {
	case age <= patience || l.env.now()-sentAt <= patience:
	case !f.relayed || age > int64(minPatience):
		l.suspect(true)
	case !l.late:
		l.suspect(false)
	}
}

// sweepSlot fails the requests of a borrowed batch whose budget has ended. The
// others stay in flight: sending them again would put them behind the answer that
// they wait for, and let a server that is a little slower than the budget serve
// nobody at all.
func (l *lane) sweepSlot(s *flightSlot, now int64) {
	b := s.batch
	l.failExpired(b, now)
	if b.Len() == 0 {
		b.Keep(s.number) // the answer finds nobody
		l.freeBatch(b)
		return
	}
	s.expiry = l.expiryOf(b)
	if !b.Return(s.number) {
		l.share(b, s.count, s.granted)
	}
}

// failExpired fails the requests of b, which the caller owns, whose budget has
// ended, and returns how many.
func (l *lane) failExpired(b *requestBatch, now int64) int {
	before := b.Len()
	err := l.spent()
	b.Filter(func(r *request) bool {
		if l.expiry(r) >= now {
			return true
		}
		r.fail(err)
		return false
	})
	expired := before - b.Len()
	l.env.stats.spent.Add(int64(expired))
	return expired
}

// expiryOf returns when the first budget of b's requests ends. They are in the
// order of their pushes, nearly: a caller that is held up between looking at the
// clock and its push may be a little late.
func (l *lane) expiryOf(b *requestBatch) int64 { return l.expiry(b.Requests()[0]) }

// expiry returns when the budget of r has certainly ended, on the coarse clock. A
// start is up to slack before the push, so that a budget ends up to slack and a
// tick late, and never early.
func (l *lane) expiry(r *request) int64 { return r.start + int64(l.env.budget+l.slack) }

// spent returns the error for requests whose budget has ended.
func (l *lane) spent() error {
	return &budgetError{dc: l.dc, cause: l.trouble()}
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
	l.summon()
}

// pushSlow waits until the ring has room for r, and helps to make some. What r.start says
// has passed of the budget already is what other parts of the same call have waited.
func (l *lane) pushSlow(ctx context.Context, r *request) error {
	budget := time.NewTimer(l.env.budget - time.Duration(l.clock.Load()-r.start))
	defer budget.Stop()
	l.room.waiting.Add(1)
	defer l.room.waiting.Add(-1)
	push := func() bool {
		l.makeRoom()
		return l.ring.TryPush(r)
	}
	for counted := false; ; {
		grown := l.hasGrown() // before the push: the wait for a ring to grow is none for room
		gate, ok := l.room.try(push)
		if ok {
			return nil
		}
		if grown && !counted {
			counted = true
			l.env.stats.ringFull.Add(1)
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return l.ended(ctx)
		case <-budget.C:
			l.env.stats.spent.Add(1)
			return l.spent()
		}
	}
}

// makeRoom sees to it that the ring grows, if it has not, or is sent from.
func (l *lane) makeRoom() {
	if l.hasGrown() {
		l.look()
		return
	}
	l.sweepDue.Store(true)
	l.takeSeat()
}

// hasGrown reports whether the ring has the room that it is to have.
func (l *lane) hasGrown() bool { return l.ring.Cap() >= l.env.capacity }

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

// try tries a push. If there is no room, it returns the gate at which to wait for some: the
// one that there was before.
func (g *roomGate) try(push func() bool) (gate <-chan struct{}, ok bool) {
	gate = *g.current.Load()
	return gate, push()
}

// open lets everybody try again. It costs a load when nobody waits.
func (g *roomGate) open() {
	if g.waiting.Load() == 0 {
		return
	}
	c := make(chan struct{})
	close(*g.current.Swap(&c))
}
