package wheel

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// firings is a timer that notes when it fires, since its making.
type firings struct {
	Timer
	start time.Time
	mu    sync.Mutex
	at    []time.Duration // guarded by mu
}

func newFirings(w *Wheel) *firings {
	f := &firings{start: time.Now()}
	f.Init(w, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.at = append(f.at, time.Since(f.start))
	})
	return f
}

// fired returns the firings since the last call.
func (f *firings) fired() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.at
	f.at = nil
	return at
}

// bubble runs test with a wheel on fake time. Fake time passes only while all
// goroutines wait.
func bubble(t *testing.T, test func(t *testing.T, w *Wheel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		synctest.Wait()
		test(t, w)
	})
}

// pass lets d go by, and then the wheel do what it has to.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

const (
	ms         = time.Millisecond
	revolution = slotCount * ms
	day        = 24 * time.Hour
)

func TestReset_FiresOnceAtItsTick(t *testing.T) {
	for _, tt := range []struct{ d, want time.Duration }{
		{math.MinInt64, ms}, {-1, ms}, {0, ms}, {1, ms}, {ms - 1, ms}, {ms, ms}, {ms + 1, 2 * ms},
		{17 * ms, 17 * ms}, {17*ms + 500*time.Microsecond, 18 * ms},
		{revolution - ms, revolution - ms}, {revolution, revolution}, {revolution + 1, revolution + ms},
		{3*time.Second + 1, 3*time.Second + ms}, {5 * revolution, 5 * revolution},
		{day, day}, {400*day + 3, 400*day + ms},
	} {
		t.Run(tt.d.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *Wheel) {
				f := newFirings(w)
				f.Reset(tt.d)
				pass(tt.want - 1)
				require.Empty(t, f.fired(), "early")
				pass(1)
				require.Equal(t, []time.Duration{tt.want}, f.fired())
				pass(2*revolution + day)
				require.Empty(t, f.fired(), "fired again")
				require.False(t, f.Stop())
			})
		})
	}
}

func TestReset_BetweenTicksRoundsUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		f := newFirings(w)
		pass(ms / 4)
		f.Reset(ms) // ends at 1.25 ms
		pass(ms)
		require.Empty(t, f.fired())
		pass(3 * ms / 4)
		require.Equal(t, []time.Duration{2 * ms}, f.fired())
	})
}

func TestReset_BeyondTheClockIsItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		f := newFirings(w)
		pass(7 * ms / 2)
		f.Reset(math.MaxInt64)
		require.Equal(t, int64(math.MaxInt64)/tick, f.when.Load())
		pass(100 * 365 * day)
		require.Empty(t, f.fired())
		require.True(t, f.Stop())
	})
}

func TestReset_MovesAnArmedTimer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		resets []time.Duration // all at once; after each, the wheel is let run if settled
	}{
		{"later", []time.Duration{10 * ms, 30 * ms}},
		{"earlier", []time.Duration{30 * ms, 10 * ms}},
		{"to and fro", []time.Duration{30 * ms, 10 * ms, 50 * ms, 20 * ms}},
		{"a revolution later", []time.Duration{10 * ms, 10*ms + revolution}},
		{"a revolution earlier", []time.Duration{10*ms + 3*revolution, 10*ms + revolution}},
		{"the same", []time.Duration{10 * ms, 10 * ms}},
	} {
		for _, settled := range []bool{true, false} {
			name := tt.name + " while linked"
			if !settled {
				name = tt.name + " while queued"
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *Wheel) {
					f := newFirings(w)
					for _, d := range tt.resets {
						f.Reset(d)
						if settled {
							synctest.Wait()
						}
					}
					pass(day)
					require.Equal(t, tt.resets[len(tt.resets)-1:], f.fired())
				})
			})
		}
	}
}

func TestReset_FromItsOwnFunction(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		start, next := time.Now(), []time.Duration{0, 5 * ms, 2 * revolution, -1}
		var at []time.Duration
		var timer Timer
		timer.Init(w, func() {
			at = append(at, time.Since(start))
			if len(next) > 0 {
				timer.Reset(next[0])
				next = next[1:]
			}
		})
		timer.Reset(ms)
		pass(day)
		require.Equal(t, []time.Duration{ms, 2 * ms, 7 * ms, 7*ms + 2*revolution, 8*ms + 2*revolution}, at)
	})
}

func TestReset_FarDeadlineWakesNobody(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		near, far := newFirings(w), newFirings(w)
		near.Reset(10 * ms)
		synctest.Wait()
		turns := w.turns.Load()
		far.Reset(20 * ms)
		synctest.Wait()
		require.Equal(t, turns, w.turns.Load())
		pass(day)
		require.Equal(t, []time.Duration{20 * ms}, far.fired())
	})
}

// The second Reset finds the timer in the inbox of a wheel that was not woken
// for the first.
func TestReset_EarlierWhileQueuedWakes(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		near, far := newFirings(w), newFirings(w)
		near.Reset(20 * ms)
		synctest.Wait()
		far.Reset(50 * ms)
		synctest.Wait()
		require.EqualValues(t, queued, far.visit.Load())
		far.Reset(10 * ms)
		pass(10 * ms)
		require.Equal(t, []time.Duration{10 * ms}, far.fired())
	})
}

// The steps of a Reset that is held up between its store and its push, taken
// apart, while another call goes through.
func TestReset_HeldUpBeforeItsPush(t *testing.T) {
	t.Run("another is earlier", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *Wheel) {
			near, f := newFirings(w), newFirings(w)
			near.Reset(20 * ms)
			synctest.Wait()
			f.when.Store(50)
			f.when.Store(5) // the other, which has left waking the wheel to the pusher
			f.resetSlow(50)
			pass(5 * ms)
			require.Equal(t, []time.Duration{5 * ms}, f.fired())
		})
	})
	t.Run("it is stopped", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *Wheel) {
			f := newFirings(w)
			f.when.Store(50)
			require.True(t, f.Stop())
			f.resetSlow(50)
			pass(50 * ms)
			require.Equal(t, never, f.visit.Load(), "the wheel has not forgotten it")
		})
	})
	t.Run("the wheel sweeps its slot", func(t *testing.T) {
		w := newWheel()
		f := newFirings(w)
		f.visit.Store(20)
		w.link(&f.Timer, 20)
		f.when.Store(10)
		f.visit.Store(queued)
		w.advance(20)
		require.EqualValues(t, queued, f.visit.Load(), "another Reset would push it, too")
		require.Empty(t, f.fired())
		w.push(&f.Timer)
		w.drain(20)
		require.Len(t, f.fired(), 1)
		require.Equal(t, never, f.visit.Load())
	})
}

func TestStop_ReportsWhetherItWon(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		f := newFirings(w)
		require.False(t, f.Stop(), "never armed")
		f.Reset(5 * ms)
		require.True(t, f.Stop(), "queued")
		f.Reset(5 * ms)
		synctest.Wait()
		require.True(t, f.Stop(), "linked")
		require.False(t, f.Stop(), "stopped")
		pass(5 * ms)
		require.Empty(t, f.fired())
		f.Reset(5 * ms)
		pass(5 * ms)
		require.False(t, f.Stop(), "fired")
		require.Equal(t, []time.Duration{10 * ms}, f.fired())
	})
}

func TestStop_OfNeighbourDueAtTheSameTick(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		var timers [2]Timer
		var fired, won int
		for i := range timers {
			timers[i].Init(w, func() {
				fired++
				if timers[1-i].Stop() {
					won++
				}
			})
			timers[i].Reset(ms)
		}
		pass(ms)
		require.Equal(t, 1, fired)
		require.Equal(t, 1, won)
	})
}

func TestWheel_FiresInOrderOfTicks(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		const n = 2000
		var order []int
		timers := make([]Timer, n)
		for i := range timers {
			timers[i].Init(w, func() { order = append(order, i) })
			timers[i].Reset(time.Duration((i*7919)%n+1) * ms)
		}
		pass(n * ms)
		require.Len(t, order, n)
		require.True(t, slices.IsSortedFunc(order, func(a, b int) int { return (a*7919)%n - (b*7919)%n }))
	})
}

// A function that takes its time makes the others late, and the wheel catches
// up with them in order.
func TestWheel_SlowFunctionDelaysOthers(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		var slow Timer
		slow.Init(w, func() { time.Sleep(100 * ms) })
		slow.Reset(ms)
		start := time.Now()
		var order []int
		var at []time.Duration
		var timers [50]Timer
		for i := range timers {
			timers[i].Init(w, func() {
				order = append(order, i)
				at = append(at, time.Since(start))
			})
			timers[i].Reset(time.Duration(2+i) * ms)
		}
		pass(day)
		require.Len(t, order, len(timers))
		require.True(t, slices.IsSorted(order))
		require.Equal(t, slices.Repeat([]time.Duration{101 * ms}, len(timers)), at)
	})
}

func TestWheel_IdleNeverWakes(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		f := newFirings(w)
		turns := func() uint64 { synctest.Wait(); return w.turns.Load() }
		idle := turns()
		pass(1000 * day)
		require.Equal(t, idle, turns(), "woke with nothing armed")

		f.Reset(40 * day)
		armed := turns()
		require.Equal(t, idle+1, armed, "one wake-up takes the timer in")
		pass(40*day - 1)
		require.Equal(t, armed, turns(), "woke before the deadline")
		pass(1)
		require.Equal(t, armed+1, turns())
		pass(1000 * day)
		require.Equal(t, armed+1, turns(), "woke after all had fired")
		require.EqualValues(t, never, w.sleepUntil.Load())
	})
}

// A deadline that the wheel has taken in and that was then given up costs one
// wake-up, at its tick.
func TestWheel_GivenUpDeadlineWakesOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		giveUp func(*firings)
		wakes  uint64
	}{
		{"stopped", func(f *firings) { f.Stop() }, 1},
		{"moved later", func(f *firings) { f.Reset(day) }, 2},  // the second fires it
		{"moved earlier", func(f *firings) { f.Reset(ms) }, 3}, // to take it in, to fire it, for the old deadline
		{"stopped and armed a thousand times", func(f *firings) {
			for range 1000 {
				f.Stop()
				f.Reset(day)
				synctest.Wait()
			}
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *Wheel) {
				f := newFirings(w)
				f.Reset(time.Hour)
				synctest.Wait()
				turns := w.turns.Load()
				tt.giveUp(f)
				pass(10 * day)
				require.Equal(t, turns+tt.wakes, w.turns.Load())
			})
		})
	}
}

// collected reports whether the garbage collector takes what is to close gone,
// within a time that only a failure takes.
func collected(gone <-chan struct{}) bool {
	for range 1000 {
		runtime.GC()
		select {
		case <-gone:
			return true
		case <-time.After(10 * ms):
		}
	}
	return false
}

func TestStop_DroppedTimerIsCollectedAfterItsDeadline(t *testing.T) {
	w := New()
	defer w.Close()
	gone := make(chan struct{})
	func() {
		f := newFirings(w)
		runtime.AddCleanup(f, func(c chan struct{}) { close(c) }, gone)
		f.Reset(20 * ms)
		f.Stop()
	}()
	require.True(t, collected(gone))
}

func TestClose_DropsItsTimers(t *testing.T) {
	w := New()
	gone := make(chan struct{})
	func() {
		f := newFirings(w)
		runtime.AddCleanup(f, func(c chan struct{}) { close(c) }, gone)
		f.Reset(day)
		for f.visit.Load() == queued {
			runtime.Gosched() // until it is in a slot
		}
	}()
	w.Close()
	require.True(t, collected(gone))
	runtime.KeepAlive(w)
}

func TestClose_FromManyGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		f := newFirings(w)
		f.Reset(ms)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				w.Close()
				select {
				case <-w.done:
				default:
					t.Error("Close returned before the goroutine had gone")
				}
			})
		}
		wg.Wait()
		w.Close()
		pass(day)
		require.Empty(t, f.fired())
		require.True(t, f.Stop(), "Close disarms nothing")
	})
}

func TestClose_WaitsForTheRunningFunction(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		start, ended := time.Now(), false
		var slow Timer
		slow.Init(w, func() {
			time.Sleep(time.Second)
			ended = true
		})
		late := newFirings(w)
		slow.Reset(ms)
		late.Reset(ms + 1)
		time.Sleep(2 * ms)
		w.Close()
		require.True(t, ended)
		require.Equal(t, time.Second+ms, time.Since(start))
		pass(day)
		require.Empty(t, late.fired())
	})
}

func TestClose_FromFunctions(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		var timers [3]Timer
		fired := 0
		for i := range timers {
			timers[i].Init(w, func() {
				fired++
				deep(300, w.Close)
				timers[i].Reset(0)
			})
			timers[i].Reset(ms)
		}
		pass(ms)
		<-w.done
		pass(day)
		require.Equal(t, 1, fired)
	})
}

// deep calls f with n frames below it.
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
}

func TestReset_AfterClose(t *testing.T) {
	bubble(t, func(t *testing.T, w *Wheel) {
		linked, fresh := newFirings(w), newFirings(w)
		linked.Reset(time.Hour)
		synctest.Wait()
		w.Close()
		for _, f := range []*firings{linked, fresh, fresh} {
			f.Reset(ms)
			f.Reset(2 * time.Hour)
			f.Reset(0)
			pass(day)
			require.Empty(t, f.fired())
			require.True(t, f.Stop())
			require.False(t, f.Stop())
		}
		require.Same(t, &w.end, w.inbox.Load())
	})
}

func TestClose_AfterGoexitInFunction(t *testing.T) {
	bubble(t, func(_ *testing.T, w *Wheel) {
		var timer Timer
		timer.Init(w, runtime.Goexit)
		timer.Reset(ms)
		pass(ms)
		w.Close()
	})
}

func TestWheel_CacheLines(t *testing.T) {
	var w Wheel
	const line = 64
	readOnly := unsafe.Offsetof(w.closed) + unsafe.Sizeof(w.closed)
	shared := unsafe.Offsetof(w.inbox)
	sharedEnd := unsafe.Offsetof(w.sleepUntil) + unsafe.Sizeof(w.sleepUntil)
	require.GreaterOrEqual(t, int(shared-readOnly), line)
	require.GreaterOrEqual(t, int(unsafe.Offsetof(w.end)-sharedEnd), line)
	require.LessOrEqual(t, int(unsafe.Sizeof(w.end)), line, "a timer is one line")
}
