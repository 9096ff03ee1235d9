package member

import (
	"math/rand/v2"
	"time"
)

// How often rounds may follow each other while they are asked for all the time, as they are when a leader is gone and
// thousands of clients look for the next one.
const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = 100 * time.Millisecond
	// burst rounds may follow each other at once, further ones at one per refill. Only rounds that bring news get
	// this far: the others back off.
	burst  = 5
	refill = 100 * time.Millisecond
)

// pacer decides when the next round may start. The first one after a quiet time starts at once. Each that failed or
// brought nothing new doubles the time until the next, from minBackoff to maxBackoff; one that brought news ends the
// back-off. In any case rounds are limited to burst, then 10 a second: a cluster may flap.
//
// It has no clock of its own. It is used by the loop's goroutine only.
type pacer struct {
	backoff time.Duration // From the begin of the last round to that of the next.
	began   time.Time     // When the last round began.
	ended   time.Time     // When it ended.
	full    time.Time     // When the burst is fully available again; each round moves it by one refill.
}

// next returns how long to wait, from now, until a round may start.
func (p *pacer) next(now time.Time) time.Duration {
	// With k rounds of the burst spent, full lies k refills ahead. One more needs k < burst.
	limited := p.full.Add(-(burst - 1) * refill).Sub(now)
	return max(p.began.Add(jitter(p.backoff)).Sub(now), limited, 0)
}

// begin notes that a round starts.
func (p *pacer) begin(now time.Time) {
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(refill)
	p.began = now
	if now.Sub(p.ended) > 2*maxBackoff {
		p.backoff = 0 // Nobody asked for a while, so this is not the same trouble.
	}
}

// end notes that the round has ended, and whether it brought news.
func (p *pacer) end(now time.Time, news bool) {
	p.ended = now
	if news {
		p.backoff = 0
		return
	}
	p.backoff = min(max(2*p.backoff, minBackoff), maxBackoff)
}

// jitter returns d give or take a fifth, so that clients which lost the same leader do not ask in step.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
