package wheel

import "time"

// Everything in this file runs on the wheel's goroutine. It owns the slots, the
// place of each timer in them (next, back, at), and what it has taken from the
// inbox. Nobody else touches these, the functions that it runs included:
// whatever they do goes through the two words of a Timer and the inbox. So it
// needs no lock, and no care for a list that changes while it walks it but for
// its own links.

// run is the goroutine: take what is new, fire what is due, sleep to what is
// next.
//
// One reading of the clock serves a whole turn. A function that takes long
// makes that reading old, which delays what has become due since to the next
// turn, but fires nothing early. And as deadlines are later than the moment
// they are asked for, nothing that a function arms is due in the turn it runs
// in: each turn ends.
func (w *Wheel) run() {
	// Deferred for the sake of a function that ends its goroutine with
	// runtime.Goexit, as a failing test does.
	defer w.seal()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !w.closed.Load() {
		w.turns.Add(1)
		now := w.now()
		w.drain(now)
		if w.next <= now {
			w.advance(now)
		}
		w.park(timer)
	}
}

// drain empties the inbox. What functions push meanwhile is left for the next
// turn: it is due later than now.
func (w *Wheel) drain(now int64) {
	// Takes the links of the whole stack over from the pushers.
	for t := w.inbox.Swap(nil); t != nil; {
		// To be read first: with never in visit, the next Reset may push t
		// again.
		next := t.link
		t.link = nil
		w.unlink(t)
		t.visit.Store(never)
		w.settle(t, now)
		t = next
	}
}

// advance looks at all timers that are linked for now or earlier, in the order
// of their ticks unless the wheel is late by a revolution, and finds w.next
// anew.
func (w *Wheel) advance(now int64) {
	first := w.next
	w.next = never
	for k := first; k < first+slotCount; k++ {
		s := &w.slots[k&(slotCount-1)]
		if s.earliest <= now {
			w.sweep(s, now)
		}
		// link lowers next as well, for timers that went to a slot already
		// passed.
		w.next = min(w.next, s.earliest)
		// No deadline is before first, so those of the slots to come are after
		// k; and what was due has been passed.
		if s.earliest == k {
			return
		}
	}
}

// sweep looks at the timers of s that are linked for now or earlier, and skips
// those of later revolutions. A timer that moves on to a later revolution is
// linked at the head, where this walk has passed.
func (w *Wheel) sweep(s *slot, now int64) {
	s.earliest = never
	var next *Timer
	for t := s.head; t != nil; t = next {
		next = t.next
		if t.at > now {
			s.earliest = min(s.earliest, t.at)
			continue
		}
		at := t.at
		w.unlink(t)
		// This fails if a Reset has queued t. It must stay queued then, or it
		// could be pushed twice; drain will settle it.
		if t.visit.CompareAndSwap(at, never) {
			w.settle(t, now)
		}
	}
}

// settle decides what becomes of t, which is in no slot and whose visit the
// goroutine has set to never: it fires t, or forgets it, or links it for the
// deadline it has now.
//
// The order matters. With the load of when before visit became never, a Reset
// in between would trust a promise that nobody keeps: the wheel would have seen
// no deadline, and the caller a look that is still to come.
func (w *Wheel) settle(t *Timer, now int64) {
	when := t.when.Load() // pairs with the store in Reset
	switch {
	case when == 0:
		// Stopped. The wheel has no reference to t from here on, until a Reset
		// finds never in visit and pushes.
	case when <= now:
		w.fire(t, when)
	default:
		// Link first, promise then: who sees the promise may rely on it.
		w.link(t, when)
		// This fails if a Reset has queued t since. Then t is in a slot and in
		// the inbox; drain takes it from both.
		t.visit.CompareAndSwap(never, when)
	}
}

// fire runs t's function if t still is armed for when, which is due. A Stop or
// a Reset that comes between the load and the exchange makes it fail, and has
// won; that Reset finds never in visit, and pushes t. An exchange that succeeds
// although when had been 0 in between is right, too: then the later Reset asked
// for the same tick, and that is due.
func (w *Wheel) fire(t *Timer, when int64) {
	if w.closed.Load() {
		return // closed by a function of this very turn
	}
	if t.when.CompareAndSwap(when, 0) {
		t.fn()
	}
}

// link puts t at the head of the slot of tick at.
func (w *Wheel) link(t *Timer, at int64) {
	s := &w.slots[at%slotCount]
	t.at, t.next, t.back = at, s.head, &s.head
	if s.head != nil {
		s.head.back = &t.next
	}
	s.head = t
	s.earliest = min(s.earliest, at)
	w.next = min(w.next, at)
}

// unlink takes t out of its slot, if it is in one. The slot's earliest is left
// as it is.
func (w *Wheel) unlink(t *Timer) {
	if t.at == 0 {
		return
	}
	*t.back = t.next
	if t.next != nil {
		t.next.back = t.back
	}
	t.at, t.next, t.back = 0, nil, nil
}

// park sleeps until the tick w.next, for ever if that is never, or until it is
// woken.
func (w *Wheel) park(timer *time.Timer) {
	// Store, then load: the other half of wakeFor's pair. The tempting order,
	// to look at the inbox and go to sleep if it is empty, loses a timer that
	// is pushed in between by a caller who finds us awake.
	w.sleepUntil.Store(w.next)
	if w.inbox.Load() == nil {
		w.sleep(timer)
	}
	w.sleepUntil.Store(awake)
}

// sleep waits for the token or for the tick w.next to begin. That is never
// early: run reads the clock again.
func (w *Wheel) sleep(timer *time.Timer) {
	if w.next == never {
		timer.Stop()
	} else {
		timer.Reset(time.Duration(w.next*tick) - time.Since(w.start))
	}
	select {
	case <-w.wake:
	case <-timer.C:
	}
}

// seal ends the goroutine. Nothing enters the inbox any more, and the wheel
// lets go of all timers and they of each other, so that one that is kept does
// not keep the others.
func (w *Wheel) seal() {
	for t := w.inbox.Swap(&w.end); t != nil; {
		next := t.link
		t.link = nil
		t = next
	}
	for i := range w.slots {
		for w.slots[i].head != nil {
			w.unlink(w.slots[i].head)
		}
	}
	close(w.done)
}
