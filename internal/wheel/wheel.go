// Package wheel watches any number of deadlines with one goroutine.
//
// It is a hashed timer wheel: a deadline is rounded up to a tick of 1 ms, and
// the tick's number, modulo the number of slots, is the slot in which its timer
// is linked (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987,
// scheme 6, https://doi.org/10.1145/41457.37504). Unlike theirs, this wheel
// does not turn: each slot knows its earliest deadline, and the goroutine
// sleeps to the earliest of all. While nothing is armed it does not wake.
//
// Arming and stopping are lock-free. Callers never touch a slot: they store a
// deadline in the timer, and hand the timer to the goroutine through a stack
// (the inbox) only when it would otherwise look at it too late. Read [Timer]
// for that protocol, run.go for the goroutine.
package wheel

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// tick is the resolution of deadlines. Those of the client are the ticks of
	// its lanes (1 to 50 ms, mostly 50) and batch intervals (up to 10 ms), none
	// of which needs more, and timers that are due together share a wake-up.
	tick = int64(time.Millisecond)

	// lastTick is the latest deadline there is: lastTick*tick still is a
	// time.Duration.
	lastTick = never / tick

	// slotCount is a power of two, to find a slot by masking. A wake-up scans
	// the slots from the tick that is due to the next deadline, and walks the
	// list of each that is due; fewer slots make the lists long, more make the
	// scan long where timers are few. Measured per wake-up, with 10, 10,000 and
	// 100,000 timers spread over 20 s: 256 slots 0.3, 0.5 and 3.3 us; 1024
	// slots 0.9, 0.1 and 0.8 us; 4096 slots 1.9, 0.02 and 0.1 us, and 64 KB.
	// Ten timers do not wake the wheel often, so the middle is good enough
	// everywhere.
	slotCount = 1024

	// runName is how a stack trace names the wheel's goroutine. A test fails
	// when it is wrong.
	runName = "github.com/tsoring/tso/internal/wheel.(*Wheel).run"
)

// awake is the value of Wheel.sleepUntil while the goroutine does not sleep: no
// deadline is earlier.
const awake = 0

// A Wheel runs the functions of its timers when their deadlines have passed, on
// one goroutine of its own.
//
// Close may be called by any number of goroutines simultaneously, and so may
// all methods of its [Timer]s; none of them blocks but Close. After Close
// nothing fires. A wheel refers to a timer from the Reset that brings it in
// until the tick it last was to be looked at, and to none after Close. A Wheel
// must not be copied.
//
// It waits on a channel and a [time.Timer] only, so it works inside a
// testing/synctest bubble if New is called there.
//
// It is not for deadlines finer than a tick, nor for work that takes long:
// functions run one after another.
//
// Who writes and who reads, by group of fields; the groups are kept on cache
// lines of their own:
//
//	start wake done      nobody after New                      everybody
//	closed               Close                                 the goroutine, before each firing
//	inbox                Reset (push), goroutine (take all)    both
//	sleepUntil           goroutine                             Reset, after a push
//	the rest             goroutine                             goroutine
type Wheel struct {
	_ noCopy

	start  time.Time     // tick 0 of the monotonic clock
	wake   chan struct{} // one token: "look at the inbox, or at closed". Never closed
	done   chan struct{} // closed as the goroutine ends
	closed atomic.Bool

	// What is above is read by every Reset, what is below is written by some:
	// with 128 bytes between them they share no cache line on any common
	// machine, as in sync.Pool.
	_ [128]byte

	// inbox is a stack of timers linked by Timer.link; &end at its bottom and
	// top says that the goroutine has gone. The goroutine takes all of it or
	// nothing, so no pusher can mistake a head that went and came back for one
	// that stayed: what is below it is what the pusher has linked to, either
	// way.
	inbox atomic.Pointer[Timer]

	// sleepUntil is the tick to which the goroutine sleeps (never, if nothing
	// is armed) or is about to, else awake.
	sleepUntil atomic.Int64

	_ [128]byte

	end   Timer           // a mark, not a timer
	next  int64           // the least of all slots[i].earliest, or less; never if there is none
	slots [slotCount]slot // deadline k is in slots[k % slotCount]
	turns atomic.Uint64   // times the goroutine has looked around; for tests and debuggers
}

// A slot is the list of the timers whose ticks are congruent modulo slotCount:
// of this revolution and of all later ones.
type slot struct {
	head *Timer
	// earliest is at most the least at of the list, and never if the list is
	// empty. It may be less where a timer has left for another slot; that costs
	// one look at that tick.
	earliest int64
}

// New returns an empty wheel. It starts the wheel's goroutine, which sleeps
// until there is a timer, and ends with Close.
func New() *Wheel {
	w := newWheel()
	go w.run()
	return w
}

// newWheel returns a wheel without its goroutine.
func newWheel() *Wheel {
	w := &Wheel{
		start: time.Now(),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
		next:  never,
	}
	for i := range w.slots {
		w.slots[i].earliest = never
	}
	return w
}

// Close ends the wheel: when it returns, no function is running and none will
// run. It blocks until the wheel's goroutine has gone, which is as long as the
// function that is running takes. Further calls do the same and are harmless.
//
// There is one exception: called from a function that a wheel runs (this wheel
// or another), Close cannot wait for itself, and returns at once; the wheel
// fires nothing after it. A function must not wait for another goroutine's
// Close.
func (w *Wheel) Close() {
	w.closed.Store(true)
	w.kick()
	if !onWheelGoroutine() {
		<-w.done
	}
}

// onWheelGoroutine reports whether its caller was called by a wheel. A
// goroutine has no name to compare, but its stack tells what it runs; that
// costs microseconds, which Close can spend. The tempting alternative, a flag
// that is up while a function runs, cannot tell its Close from one that only
// comes at the same time, and that must wait.
func onWheelGoroutine() bool {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(1, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 2*len(pcs))
		n = runtime.Callers(1, pcs)
	}
	frames := runtime.CallersFrames(pcs[:n])
	for {
		frame, more := frames.Next()
		if frame.Function == runName {
			return true
		}
		if !more {
			return false
		}
	}
}

// deadline returns the first tick that begins d or more from now, and later
// than now.
func (w *Wheel) deadline(d time.Duration) int64 {
	now := int64(time.Since(w.start))
	ns := now + int64(max(d, 1))
	if ns < now {
		return lastTick // beyond the range
	}
	return min((ns-1)/tick+1, lastTick)
}

// now returns the tick that has begun last. A deadline k is due if k <= now.
func (w *Wheel) now() int64 {
	return int64(time.Since(w.start)) / tick
}

// push puts t into the inbox, or nowhere if the goroutine has gone. The caller
// has just set t.visit to queued.
func (w *Wheel) push(t *Timer) {
	for {
		head := w.inbox.Load()
		if head == &w.end {
			t.link = nil
			return
		}
		t.link = head
		// Publishes t.link, and passes its ownership to the Swap in drain.
		if w.inbox.CompareAndSwap(head, t) {
			return
		}
	}
}

// wakeFor wakes the goroutine if it sleeps past the tick when. The caller's
// timer is in the inbox, or the one who pushes it will call wakeFor after that.
//
// Push to inbox, then load sleepUntil; park stores sleepUntil, then loads
// inbox. So a goroutine that goes to sleep without the timer has stored a
// sleepUntil that is seen here. If it is not past when, the goroutine is up by
// itself in time, and empties the inbox first: then a deadline far away is put
// in without waking anybody.
func (w *Wheel) wakeFor(when int64) {
	if when < w.sleepUntil.Load() {
		w.kick()
	}
}

// kick leaves the token. If one is there already, the goroutine has yet to take
// it, and does all its loads after that. One that comes too late, for a
// goroutine that woke by itself, makes the next sleep end at once, and is
// harmless.
func (w *Wheel) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
