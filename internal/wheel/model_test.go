package wheel_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tsoring/tso/internal/wheel/wheeltest"
)

// durations mixes what the wheel treats differently: none, parts of a tick, a
// few ticks, about a revolution (1024 ticks) and its multiples, days, and the
// end of time.
func durations() *rapid.Generator[time.Duration] {
	units := func(unit time.Duration, lo, hi int64) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.Int64Range(lo, hi), func(n int64) time.Duration {
			return time.Duration(n) * unit
		})
	}
	between := func(lo, hi time.Duration) *rapid.Generator[time.Duration] {
		return units(1, int64(lo), int64(hi))
	}
	return rapid.OneOf(
		between(-1, 3*time.Millisecond),
		units(time.Millisecond, 0, 20),
		units(time.Millisecond, 1020, 1030),
		units(1024*time.Millisecond, 0, 5),
		between(0, 5*time.Second),
		between(0, wheeltest.MaxSleep),
		between(math.MaxInt64-1000, math.MaxInt64),
	)
}

func ops() *rapid.Generator[wheeltest.Op] {
	timer := rapid.IntRange(0, wheeltest.Timers-1)
	d := durations()
	return rapid.Custom(func(t *rapid.T) wheeltest.Op {
		return wheeltest.Op{
			Kind:  wheeltest.Kind(rapid.IntRange(0, int(wheeltest.Kinds)-1).Draw(t, "kind")),
			Timer: timer.Draw(t, "timer"),
			Other: timer.Draw(t, "other"),
			D:     d.Draw(t, "d"),
		}
	})
}

// The program is drawn before the bubble is made: rapid ends a failed run by a
// panic that it must catch itself.
func TestWheel_BehavesAsSortedList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		program := rapid.SliceOfN(ops(), 1, 200).Draw(rt, "program")
		var err error
		synctest.Test(t, func(*testing.T) { err = wheeltest.Run(program) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}
