package load

import (
	"math/rand/v2"
	"time"
)

// Pace says when callers call. At most one of its fields is set; with none of them
// the loop is closed, and each calls again at once. It has no meaning for futures.
type Pace struct {
	// Think is how long a caller pauses before a call, at random with this mean.
	// The pauses are exponentially distributed, so that calls come as those of a
	// server's many requests do.
	Think time.Duration
	// Every is the time from one call of a caller to its next. A caller that is late
	// calls at once, and is not made to catch up.
	Every time.Duration
	// Rate is the number of calls a second, of all callers together: an open loop. A
	// call begins when it should have begun, so that a client which is slow for a
	// moment is charged for all that have waited meanwhile, and not only for the
	// calls under way. There should be far more callers than calls under way.
	Rate float64
}

// await returns when it is time for the next call, with the time that its latency
// counts from. It reports false if the run is over.
func (c *caller) await() (from time.Duration, ok bool) {
	pace := c.run.cfg.Pace
	switch {
	case pace.Rate > 0:
		due, ok := c.run.schedule.next()
		return due, ok && !c.run.stopping.Load()
	case pace.Every > 0:
		if c.next == 0 {
			c.next = c.run.now() + rand.N(pace.Every) // not all at the same time
		}
		c.late.sleep(c.next - c.run.now())
		now := c.run.now()
		c.next = max(c.next+pace.Every, now)
		return now, true
	default:
		c.late.sleep(time.Duration(rand.ExpFloat64() * float64(pace.Think)))
		return c.run.now(), true
	}
}

// alarm is a timer that is used again and again, which allocates nothing.
type alarm struct{ timer *time.Timer }

func newAlarm() *alarm {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &alarm{t}
}

func (a *alarm) sleep(d time.Duration) {
	if d > 0 {
		a.timer.Reset(d)
		<-a.timer.C
	}
}
