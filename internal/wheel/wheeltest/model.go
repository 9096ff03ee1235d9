// Package wheeltest checks a timer wheel against a model that is too simple to
// be wrong: a list of deadlines, kept sorted. It is shared by the property test
// of the wheel and by its fuzz target.
package wheeltest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/tsoring/tso/internal/wheel"
)

// Timers is the number of timers that a program works with.
const Timers = 8

// MaxSleep bounds the time that one Sleep lets pass, for the fake clock has an
// end, too.
const MaxSleep = 10 * 24 * time.Hour

const tick = time.Millisecond

// Kind says what an [Op] does.
type Kind uint8

// The kinds of Op. Those that begin with On do nothing by themselves, but set
// what the function of Timer does when it runs next, once, to the timer Other.
const (
	Reset   Kind = iota // Timer.Reset(D)
	Stop                // Timer.Stop()
	Sleep               // let D pass, or MaxSleep if D is more, or nothing if it is less
	OnReset             // Other.Reset(D)
	OnStop              // Other.Stop()
	Kinds               // their number
)

// An Op is one step of a program. Its timers are numbers in [0, Timers).
type Op struct {
	Kind         Kind
	Timer, Other int
	D            time.Duration
}

// String returns the Op as it reads in a failed test's report.
func (o Op) String() string {
	switch o.Kind {
	case Reset:
		return fmt.Sprintf("%d.Reset(%v)", o.Timer, o.D)
	case Stop:
		return fmt.Sprintf("%d.Stop()", o.Timer)
	case Sleep:
		return fmt.Sprintf("Sleep(%v)", o.D)
	case OnReset:
		return fmt.Sprintf("on %d: %d.Reset(%v)", o.Timer, o.Other, o.D)
	case OnStop:
		return fmt.Sprintf("on %d: %d.Stop()", o.Timer, o.Other)
	default:
		return "nothing"
	}
}

// entry is one armed timer.
type entry struct {
	due   time.Duration // since the start, a multiple of tick
	timer int
}

// machine is a wheel and the model of it. The program and the functions of the
// timers take turns with it: the program goes on only when the wheel waits. So
// nobody ever waits for mu; it tells the race detector of the turns.
type machine struct {
	mu     sync.Mutex
	start  time.Time
	wheel  *wheel.Wheel
	timers [Timers]wheel.Timer
	then   [Timers]Op
	armed  []entry // sorted by due
	closed bool
	err    error // the first difference
}

// Run runs ops on a new wheel and returns how it differs from the model first,
// or nil. It must be called in a testing/synctest bubble.
func Run(ops []Op) error {
	m := &machine{start: time.Now(), wheel: wheel.New()}
	defer m.wheel.Close()
	for i := range m.timers {
		m.timers[i].Init(m.wheel, func() { m.fired(i) })
		m.then[i].Kind = Kinds
	}
	for n, op := range ops {
		m.step(op)
		m.overdue()
		if m.err != nil {
			return fmt.Errorf("after op %d, %v: %w", n, op, m.err)
		}
	}
	m.end()
	return m.err
}

// step does op and lets the wheel do what follows from it.
func (m *machine) step(op Op) {
	if op.Kind == Sleep {
		time.Sleep(min(op.D, MaxSleep))
	} else {
		m.mu.Lock()
		m.do(op)
		m.mu.Unlock()
	}
	synctest.Wait()
}

// do does op, unless it is a Sleep, with the wheel and the model. It is called
// with mu held.
func (m *machine) do(op Op) {
	switch op.Kind {
	case Reset:
		m.timers[op.Timer].Reset(op.D)
		m.forget(op.Timer)
		m.arm(op.Timer, op.D)
	case Stop:
		got, want := m.timers[op.Timer].Stop(), m.forget(op.Timer)
		if got != want {
			m.fail("%d.Stop() is %v, want %v", op.Timer, got, want)
		}
	case OnReset, OnStop:
		m.then[op.Timer] = op
	}
}

// fired is the function of timer i. It must be the turn of a timer due now.
func (m *machine) fired(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.start)
	switch k := slices.IndexFunc(m.armed, func(e entry) bool { return e.timer == i }); {
	case m.closed:
		m.fail("%d fired after Close", i)
	case k < 0:
		m.fail("%d fired at %v, but is not armed", i, now)
	case m.armed[k].due != now:
		m.fail("%d fired at %v, want %v", i, now, m.armed[k].due)
	case m.armed[0].due != now:
		m.fail("%d fired at %v, ahead of %v", i, now, m.armed[0])
	}
	m.forget(i)
	then := m.then[i]
	m.then[i].Kind = Kinds
	switch then.Kind {
	case OnReset:
		m.do(Op{Kind: Reset, Timer: then.Other, D: then.D})
	case OnStop:
		m.do(Op{Kind: Stop, Timer: then.Other})
	}
}

// overdue fails if there is a timer that should have fired by now.
func (m *machine) overdue() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.start)
	if len(m.armed) > 0 && m.armed[0].due <= now {
		m.fail("%d has not fired at %v, want %v", m.armed[0].timer, now, m.armed[0].due)
	}
}

// end closes the wheel. Nothing fires any more, and each timer that was armed
// can be stopped once.
func (m *machine) end() {
	m.wheel.Close()
	m.closed = true
	m.step(Op{Kind: Reset, Timer: 0, D: 1})
	m.step(Op{Kind: Sleep, D: MaxSleep})
	for i := range m.timers {
		m.step(Op{Kind: Stop, Timer: i})
		m.step(Op{Kind: Stop, Timer: i})
	}
}

// arm puts timer i into the list: due at the first multiple of tick that is d
// or more from now, and later than now.
func (m *machine) arm(i int, d time.Duration) {
	now, end := time.Since(m.start), time.Duration(math.MaxInt64).Truncate(tick)
	due := end
	if d = max(d, 1); d < end-now {
		due = (now + d + tick - 1).Truncate(tick)
	}
	m.armed = append(m.armed, entry{due, i})
	slices.SortStableFunc(m.armed, func(a, b entry) int { return int(min(max(a.due-b.due, -1), 1)) })
}

// forget takes timer i from the list, and reports whether it was there.
func (m *machine) forget(i int) bool {
	n := len(m.armed)
	m.armed = slices.DeleteFunc(m.armed, func(e entry) bool { return e.timer == i })
	return len(m.armed) < n
}

// fail records the first difference.
func (m *machine) fail(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf(format, args...)
	}
}
