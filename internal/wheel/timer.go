package wheel

import (
	"sync/atomic"
	"time"
)

// Values of Timer.visit that are not the number of a tick. Ticks that can be
// deadlines lie in [1, lastTick].
const (
	// queued: the timer is in the inbox, or on its way there. It is below every
	// tick, as the wheel looks at its inbox before it looks at any slot.
	queued = 0
	// never: the wheel does not know the timer. It is above every tick, so any
	// deadline is earlier than it.
	never = int64(1<<63 - 1)
)

// A Timer is one deadline on a [Wheel], made to be embedded in the object whose
// deadline it is.
//
// Reset and Stop may be called by any number of goroutines simultaneously, the
// function given to Init included; Init must return before the first of them is
// called. Nothing blocks and nothing allocates. On a closed wheel Reset arms a
// timer that will not fire. The wheel refers to a timer, and so to its owner,
// until the latest moment it had to look at it: see Stop. A Timer must not be
// copied after Init.
//
// In the terminology of the Go memory model, a Reset synchronizes before the
// call of fn that it brings about.
//
// It is not for work: fn runs on the one goroutine that serves every timer of
// the wheel.
//
// # State
//
// Two words carry all that goroutines share, and each race between them is
// decided by one of these words.
//
//	when   0            not armed: nothing will fire
//	       k >= 1       fires once tick k has begun
//	visit  never        the wheel does not know the timer
//	       queued       it is in the inbox: the wheel looks at it as soon as it is awake
//	       k >= 1       it is in a slot: the wheel looks at it at tick k at the latest
//
// when is the caller's wish, visit the wheel's promise. An armed timer is safe
// if visit <= when: the wheel will look in time, and on looking reads the wish
// of that moment. So a timer that is moved later and later, or stopped and
// armed again, costs its callers a store and a load; only a deadline ahead of
// the promise has to go through the inbox. The tempting simpler form, a flag
// "queued" in place of visit, has to push whenever a timer was stopped, and all
// who use the wheel would meet at the head of the inbox.
type Timer struct {
	_ noCopy

	// Written by Init, and only read afterwards.
	wheel *Wheel
	fn    func()

	// when is stored by Reset, and set to 0 by whoever ends the arming: Stop by
	// a swap, the wheel by a compare-and-swap from the deadline it found due.
	// Of these exactly one sees the old value, and has won.
	when atomic.Int64

	// visit goes to queued by a Reset, to everything else by the wheel. The
	// Reset that made the step to queued is the one that pushes; so a timer is
	// in the inbox at most once.
	visit atomic.Int64

	// link is the next timer in the inbox. It belongs to the Reset that set
	// visit to queued until the push publishes it, then to the wheel until it
	// stores never in visit.
	link *Timer

	// The place in a slot: the neighbour behind, the pointer that points to
	// this timer (a slot's head or a neighbour's next), and the tick it was
	// linked for, 0 when in no slot. Of the wheel's goroutine alone.
	next *Timer
	back **Timer
	at   int64
}

// Init ties t to w and sets the function that runs when t fires. It must be
// called once, before any other method, and arms nothing. An owner that is
// pooled calls it when it is made, not each time it is taken.
//
// fn runs on w's goroutine. It must be short and must not block, since all
// other timers of w are late by the time it takes. It may call Reset and Stop
// of any timer, this one included. If it panics, the panic is not recovered.
func (t *Timer) Init(w *Wheel, fn func()) {
	t.wheel, t.fn = w, fn
	t.visit.Store(never)
}

// Reset arms t to fire once d has passed, in place of the deadline it was armed
// for, if any. It never fires earlier, and up to one tick (1 ms) later; d <= 0
// means the next tick, strictly after now, so that a function that resets its
// own timer to 0 cannot keep the wheel from other work. A d beyond the range of
// the clock, 292 years from the wheel's start, means its end.
//
// A Reset at the moment the old deadline ends may come after that firing: then
// fn runs once for each of the two.
//
// Reset is O(1), never blocks and does not allocate. It costs a clock read, a
// store and a load, unless the deadline is ahead of all that the wheel has
// known of t; then also a push, and a wake-up if the wheel sleeps past it.
func (t *Timer) Reset(d time.Duration) {
	when := t.wheel.deadline(d)
	// Store when, then load visit; settle stores visit, then loads when. As all
	// four are sequentially consistent, either the wheel finds this deadline,
	// or we find that its promise is gone.
	t.when.Store(when)
	if v := t.visit.Load(); v == queued || v > when {
		t.resetSlow(when)
	}
}

// resetSlow brings t to the wheel's notice: it is in the inbox when resetSlow
// returns, or has been taken from it, and the wheel is not asleep past the
// deadline. Outlined to keep Reset short.
func (t *Timer) resetSlow(when int64) {
	for v := t.visit.Load(); v != queued; v = t.visit.Load() {
		if v <= when {
			return // the wheel has linked t meanwhile, early enough
		}
		if t.visit.CompareAndSwap(v, queued) {
			t.wheel.push(t)
			break
		}
	}
	// Found queued, t may not be pushed yet, so our own wake-up could find the
	// inbox empty. The pusher makes up for it: after its push it loads when
	// again, and does not rely on its own deadline. Conversely, if that load
	// missed our deadline, the push came before our store, and it is our
	// wake-up that finds t in the inbox.
	//
	// With t stopped meanwhile its own deadline has to do, or t would stay in
	// the inbox of a wheel that sleeps for ever, and its owner with it.
	if latest := t.when.Load(); latest != 0 {
		when = latest
	}
	t.wheel.wakeFor(when)
}

// Stop disarms t. It reports whether it kept t from firing: exactly one of Stop
// and a firing wins a deadline, and true means that fn has not run for it and
// will not. False means that t was not armed, or that its fn has run, is
// running, or is about to run on the wheel's goroutine: Stop does not wait for
// it. Closing the wheel disarms nothing, so Stop answers true for a timer that
// only Close kept from firing.
//
// The wheel forgets a stopped timer when it next looks at it: at the latest at
// the deadline t was in its slot for, which is one that t was armed for and
// that has not passed. Only then can a dropped owner be collected, and at that
// tick the wheel may wake up for nothing, once.
//
// Stop is O(1), never blocks and does not allocate: it is one atomic swap, and
// does not touch the wheel.
func (t *Timer) Stop() bool {
	return t.when.Swap(0) != 0
}

// noCopy makes go vet report copies of what embeds it.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}
