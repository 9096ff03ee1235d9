package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
)

const (
	// budget is the default of a client, which the clients here have, and budgetEnd when
	// a call must have got it: a twentieth later.
	budget    = 20 * time.Second
	budgetEnd = budget + budget/20
	// slack is how late a call may come back before it is a finding. The contract says
	// 10 ms of an idle machine; how late calls are is printed.
	slack = 2 * time.Second
	// clearMax is for how long the cluster may have been there for a call that fails for
	// want of it, and clearLong for one that succeeds in the end.
	clearMax, clearLong = 2 * time.Second, 5 * time.Second
	// worthAsking is how long a call takes at least of which it is looked at whether it
	// had to.
	worthAsking = 2 * time.Second
	// window is the most futures that a caller takes in a row.
	window = 32
)

// caller is a goroutine that calls. What it does is one kind of round, over and over,
// each on a client picked at random.
type caller struct {
	*run
	rng *rand.Rand

	// What the watchdog reads.
	since atomic.Int64           // when the call under way began; 0 for none
	until atomic.Int64           // when it must be over
	on    atomic.Pointer[handle] // whom it calls; nil for nobody
	told  atomic.Int64           // the since of a call that has been reported
}

// live repeats a round until ctx ends.
func (c *caller) live(ctx context.Context, round func(*caller) (calls int)) {
	pause := float64(c.cfg.Callers) / float64(c.cfg.Rate) * float64(time.Second)
	due := time.Duration(c.rng.Float64() * pause)
	for wait(ctx, due) && c.gate.enter(ctx) {
		calls := round(c)
		c.since.Store(0)
		c.on.Store(nil) // a client that is closed shall not be kept
		c.gate.leave()
		due = time.Duration(c.rng.ExpFloat64() * pause * float64(calls))
	}
}

// rounds are the kinds of rounds; callers take them in turn.
var rounds = []func(*caller) int{(*caller).plain, (*caller).timed, (*caller).cancelling, (*caller).futures}

// begin tells the watchdog.
func (c *caller) begin(h *handle, limit time.Duration) {
	now := c.clock()
	c.on.Store(h)
	c.until.Store(now + int64(limit))
	c.since.Store(now)
}

// plain calls without a deadline.
func (c *caller) plain() int {
	c.get(context.Background(), c.fleet.any(c.rng), budgetEnd)
	return 1
}

// timed calls with a deadline: mostly a short one, sometimes one that has passed.
func (c *caller) timed() int {
	limit := time.Duration(c.rng.ExpFloat64() * float64(200*time.Millisecond))
	if c.rng.IntN(50) == 0 {
		limit = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c.get(ctx, c.fleet.any(c.rng), min(limit, budgetEnd))
	return 1
}

// cancelling calls and changes its mind, at a time when most calls have their answer
// and many not yet.
func (c *caller) cancelling() int {
	after := time.Duration(c.rng.ExpFloat64() * float64(2*time.Millisecond))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(after, cancel).Stop()
	c.get(ctx, c.fleet.any(c.rng), after)
	return 1
}

// get makes one call.
func (c *caller) get(ctx context.Context, h *handle, limit time.Duration) {
	c.begin(h, limit)
	start, floor := c.since.Load(), c.order.Begin()
	physical, logical, err := h.client.GetTS(ctx)
	c.end(ctx, h, start, floor, physical, logical, err)
}

// futures takes some in order and waits for them in the same order, or in reverse; one
// in eight is never waited for.
func (c *caller) futures() int {
	ctx, h, n := context.Background(), c.fleet.any(c.rng), 1+c.rng.IntN(window)
	limit := budgetEnd
	if c.rng.IntN(2) == 0 {
		limit = time.Duration(c.rng.ExpFloat64() * float64(200*time.Millisecond))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	c.begin(h, limit)
	var pending [window]tso.TSFuture
	var starts [window]int64
	var floors [window]uint64
	for i := range n {
		starts[i], floors[i] = c.clock(), c.order.Begin()
		pending[i] = h.client.GetTSAsync(ctx)
	}
	// The last one's time counts for all; they follow each other closely.
	c.until.Store(starts[n-1] + int64(limit))
	backward := c.rng.IntN(2) == 0
	var got [window]uint64
	for i := range n {
		if backward {
			i = n - 1 - i
		}
		if c.rng.IntN(8) == 0 {
			continue
		}
		physical, logical, err := pending[i].Wait()
		got[i] = c.end(ctx, h, starts[i], floors[i], physical, logical, err)
	}
	c.checkCreation(got[:n])
	return n
}

// checkCreation checks that futures taken in order are in order, 0 being none.
func (c *caller) checkCreation(got []uint64) {
	var created []uint64
	for _, t := range got {
		if t != 0 {
			created = append(created, t)
		}
	}
	for _, v := range history.CreationOrder(created) {
		c.ledger.find("creation order", "%v", v)
	}
}

// end accounts for a call that has returned, and returns its timestamp, 0 if there is
// none.
func (c *caller) end(ctx context.Context, h *handle, start int64, floor uint64, physical, logical int64, err error) uint64 {
	now := c.clock()
	took := time.Duration(now - start)
	raise(&c.ledger.longest, int64(took))
	if took > worthAsking && err == nil {
		if clear := c.outages.clear(start, now, h.forwarding); clear > clearLong {
			c.ledger.find("slow call", "%s took %v, and could have been served for %v", h.name, took, clear)
		}
	}
	if err != nil {
		c.ledger.outcomes[c.judge(ctx, h, start, now, err)].Add(1)
		c.lateness(now)
		return 0
	}
	t := checked(physical, logical)
	c.order.End(floor, t)
	c.ledger.outcomes[served].Add(1)
	c.ledger.latency.add(took)
	return t
}

// lateness notes by how much a call came back after its end.
func (c *caller) lateness(now int64) {
	if late := now - c.until.Load(); late > 0 {
		c.ledger.late.add(time.Duration(late))
		raise(&c.ledger.latest, late)
	}
}

// judge tells what kind of error a call has returned, and notes one that it must not.
func (c *caller) judge(ctx context.Context, h *handle, start, now int64, err error) outcome {
	ended := ctx.Err()
	switch {
	case errors.Is(err, tso.ErrClosed) && h.closing.Load() != 0:
		return closed
	case errors.Is(err, tso.ErrBudgetSpent) && time.Duration(now-start) >= budget:
		if clear := c.outages.clear(start, now, h.forwarding); clear > clearMax {
			c.ledger.find("forbidden error", "%s, after %v, of which %v could have served: %v",
				h.name, time.Duration(now-start), clear, err)
			return forbidden
		}
		return spent
	case ended != nil && errors.Is(err, ended) && !errors.Is(err, tso.ErrBudgetSpent):
		if errors.Is(ended, context.Canceled) {
			return cancelled
		}
		return deadline
	}
	c.ledger.find("forbidden error", "%s, after %v: %v", h.name, time.Duration(now-start), err)
	return forbidden
}

// checked composes a timestamp. One that cannot be valid becomes 0, which no order
// permits.
func checked(physical, logical int64) uint64 {
	if physical <= 0 || logical < 0 || logical >= 1<<18 {
		return 0
	}
	return tso.ComposeTS(physical, logical)
}
