package wheel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// atProcs runs test in bubbles at several values of GOMAXPROCS. On fake time
// all goroutines that sleep to the same instant run at once, so that each tick
// is a race, and there are thousands of ticks in a second.
func atProcs(t *testing.T, test func(t *testing.T, w *Wheel)) {
	for _, procs := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprintf("procs=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			bubble(t, test)
		})
	}
}

func rounds() int {
	if testing.Short() {
		return 200
	}
	return 2000
}

// dither lets a random little time go by, and other goroutines run.
func dither(r *rand.Rand) {
	for range r.IntN(4) {
		runtime.Gosched()
	}
	spin(r)
}

// spin lets a random little time go by.
func spin(r *rand.Rand) {
	for n := r.IntN(200); n > 0; n-- {
		_ = r.Uint64()
	}
}

// Each round arms a timer and has several goroutines stop it when it is due:
// exactly one of them and the firing wins.
func TestStop_RacesFire(t *testing.T) {
	const workers, stoppers = 4, 3
	var stops, fires atomic.Int64
	atProcs(t, func(t *testing.T, w *Wheel) {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				fired := make(chan struct{}, 2)
				var timer Timer
				timer.Init(w, func() { fired <- struct{}{} })
				for range rounds() {
					d := time.Duration(1+rand.IntN(3)) * ms
					timer.Reset(d)
					var won atomic.Int64
					var stop sync.WaitGroup
					for range stoppers {
						stop.Go(func() {
							time.Sleep(d)
							dither(rand.New(rand.NewPCG(rand.Uint64(), 0)))
							if timer.Stop() {
								won.Add(1)
							}
						})
					}
					stop.Wait()
					stops.Add(won.Load())
					if won.Load() == 0 {
						<-fired // or the bubble reports a deadlock
						fires.Add(1)
					} else if won.Load() > 1 {
						t.Error("two goroutines have stopped one firing")
					}
				}
				pass := time.NewTimer(day)
				defer pass.Stop()
				select {
				case <-fired:
					t.Error("a timer has fired that was stopped, or twice")
				case <-pass.C:
				}
			})
		}
		wg.Wait()
	})
	require.NotZero(t, stops.Load(), "no Stop has won")
	require.NotZero(t, fires.Load(), "no firing has won")
	t.Logf("%d stops, %d firings", stops.Load(), fires.Load())
}

// Each round arms a timer, moves it when it is due, and waits for it: the move
// may come before the firing or after it, but is never lost, and never brings
// more than one firing.
func TestReset_RacesFire(t *testing.T) {
	const workers = 8
	var before, after atomic.Int64
	atProcs(t, func(t *testing.T, w *Wheel) {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(rand.Uint64(), 0))
				var fired atomic.Int64
				var timer Timer
				timer.Init(w, func() { fired.Add(1) })
				for range rounds() {
					fired.Store(0)
					first, second := time.Duration(1+r.IntN(3))*ms, time.Duration(1+r.IntN(3))*ms
					timer.Reset(first)
					time.Sleep(first)
					dither(r)
					timer.Reset(second)
					time.Sleep(second + ms) // past the tick, so the wheel has been there
					switch fired.Load() {
					case 1:
						before.Add(1)
					case 2:
						after.Add(1)
					default:
						t.Errorf("fired %d times", fired.Load())
						return
					}
				}
			})
		}
		wg.Wait()
	})
	require.NotZero(t, before.Load(), "no Reset came before the firing")
	require.NotZero(t, after.Load(), "no Reset came after the firing")
	t.Logf("%d before, %d after", before.Load(), after.Load())
}

// Goroutines arm, move and stop timers that they share, as fast as they can
// while the wheel goes to sleep and wakes up. Whatever they did, a timer that
// was armed last fires at its tick, and one that was stopped last does not.
func TestWheel_LosesNoDeadline(t *testing.T) {
	const workers, timers, burst = 4, 6, 5
	atProcs(t, func(t *testing.T, w *Wheel) {
		var all [timers]*firings
		for i := range all {
			all[i] = newFirings(w)
		}
		for range rounds() {
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(rand.Uint64(), 0))
					for range burst {
						timer := all[r.IntN(timers)]
						if r.IntN(3) == 0 {
							timer.Stop()
						} else {
							timer.Reset(time.Duration(1+r.IntN(5)) * ms)
						}
						dither(r)
					}
				})
			}
			wg.Wait()
			var want [timers]int64
			for i := range all {
				want[i] = all[i].when.Load() // no time has passed, so nothing has fired
			}
			pass(5 * ms)
			for i := range all {
				at, got := all[i].fired(), int64(0)
				if len(at) > 0 {
					got = int64(at[0]) / tick
				}
				if len(at) > 1 || got != want[i] {
					t.Fatalf("fired at %v, want tick %d", at, want[i])
				}
			}
		}
	})
}

// The moment that matters is the one at which the wheel goes to sleep: a Reset
// then must reach it. Each worker arms its timer in answer to its firing, while
// the wheel is about to look for the next one.
func TestReset_RacesPark(t *testing.T) {
	const workers = 3
	atProcs(t, func(t *testing.T, w *Wheel) {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(rand.Uint64(), 0))
				fired := make(chan time.Time, 1)
				var timer Timer
				timer.Init(w, func() { fired <- time.Now() })
				for range 4 * rounds() {
					armed := time.Now()
					timer.Reset(ms)
					if at := <-fired; at.Sub(armed) != ms {
						t.Errorf("fired after %v", at.Sub(armed))
						return
					}
					dither(r)
				}
			})
		}
		wg.Wait()
	})
}

// Each round wakes the wheel by a first Reset, and makes the others while it
// takes the timer in: in turn one after a Stop, which the wheel must not
// mistake for the end, and ever earlier ones, which must not enter the inbox
// twice.
func TestReset_RacesDrain(t *testing.T) {
	const timers, first = 3, 40 * ms
	atProcs(t, func(t *testing.T, w *Wheel) {
		var all [timers]*firings
		for i := range all {
			all[i] = newFirings(w)
		}
		r := rand.New(rand.NewPCG(rand.Uint64(), 0))
		for round := range rounds() {
			armed := time.Since(w.start)
			for d := first; d >= ms; d -= ms {
				for _, f := range all {
					f.Reset(d)
					if round%2 == 0 {
						f.Stop()
						f.Reset(d)
					}
				}
				if r.IntN(4) == 0 {
					runtime.Gosched()
				}
			}
			pass(ms)
			for _, f := range all {
				require.Equal(t, []time.Duration{armed + ms}, f.fired())
			}
		}
	})
}

// Close comes while timers fire and are armed: after it nothing runs.
func TestClose_RacesEverything(t *testing.T) {
	for range rounds() / 10 {
		bubble(t, func(t *testing.T, w *Wheel) {
			var closed atomic.Bool
			var wg sync.WaitGroup
			stop := make(chan struct{})
			var timers [4]Timer
			for i := range timers {
				timers[i].Init(w, func() {
					if closed.Load() {
						t.Error("fired after Close")
					}
				})
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							timers[i].Reset(0)
							time.Sleep(ms)
						}
					}
				})
			}
			time.Sleep(time.Duration(rand.IntN(5)) * ms)
			w.Close()
			closed.Store(true)
			pass(10 * ms)
			close(stop)
			wg.Wait()
			synctest.Wait()
		})
	}
}
