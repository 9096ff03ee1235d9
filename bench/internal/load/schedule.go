package load

import (
	"time"

	"github.com/tsoring/tso/bench/internal/delay"
)

// schedule hands out the calls of an open loop, each when it is due.
//
// It waits in the kernel, on a thread of its own. Go's timers may be a millisecond
// late in a process that is idle otherwise, and that would be counted as latency of
// the client.
type schedule struct {
	period time.Duration
	calls  chan time.Duration // due times
	stop   chan struct{}
	ended  chan struct{}
}

// scheduleRoom is how many calls may wait for a caller: seconds of them. With more
// waiting the schedule itself waits, and what is due goes on being counted from
// when it was due.
const scheduleRoom = 1 << 16

func newSchedule(rate float64) *schedule {
	return &schedule{
		period: time.Duration(float64(time.Second) / rate),
		calls:  make(chan time.Duration, scheduleRoom),
		stop:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
}

// play hands out calls until end is called. Its thread ends with it.
func (s *schedule) play(began time.Time) {
	defer close(s.ended)
	delay.Sharp()
	for due := s.period; ; due += s.period {
		for d := due - time.Since(began); d > 0; d = due - time.Since(began) {
			delay.Sleep(min(d, doze))
			if s.ending() {
				return
			}
		}
		select {
		case s.calls <- due:
		case <-s.stop:
			return
		}
	}
}

// doze is how long the schedule sleeps before it looks whether it has ended.
const doze = 10 * time.Millisecond

func (s *schedule) ending() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// next waits for a call, and reports false if there are no more.
func (s *schedule) next() (due time.Duration, ok bool) {
	select {
	case due := <-s.calls:
		return due, true
	case <-s.stop:
		return 0, false
	}
}

// end ends the schedule: no more calls come. It is called once.
func (s *schedule) end() { close(s.stop) }
