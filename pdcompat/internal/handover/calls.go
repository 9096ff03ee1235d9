package handover

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/pderr"
)

// retryPause is how long calls that upstream has failed wait before they are given to it
// again: upstream's own GetTS waits twice that.
const retryPause = 50 * time.Millisecond

var (
	// errNilContext is what a call without a context gets.
	errNilContext = fmt.Errorf("%w: the context is nil; pass that of your caller, or context.Background()", tso.ErrInvalidArgument)
	// errUnderWay is why a call is not served while a handover lasts, and errSilent why it is
	// not where nothing else is known.
	errUnderWay = errors.New("timestamps are being handed over between this client and PD's own")
	errSilent   = errors.New("PD has not answered")
)

// call is a call that ours has not been given at once: it waits for a handover, or upstream
// serves it. It is the future that its caller holds.
type call struct {
	h      *Handover
	ctx    context.Context
	began  time.Time
	waited atomic.Bool

	// The result, written before done is closed.
	physical, logical int64
	err               error
	done              chan struct{}

	// The rest is guarded by Handover.mu. given is what a side holds for the call, nil while it
	// waits to be given to one. byOurs says that this is ours, which keeps it: it serves the
	// call before the other side serves, and before those that came to ours directly, so that
	// what it says counts, whatever has been handed out since. turn counts how often the call
	// has been taken back, and ended, so that what was asked before is known.
	given    Future
	byOurs   bool
	takeBack context.CancelFunc
	turn     int
	next     *call
}

// calls is a queue of calls in the order in which they were made, guarded by Handover.mu.
// They end in that order, and when the first has failed and is given again, so are all that
// come behind it: the futures of a goroutine hold timestamps that rise in the order in which
// it took them, whatever comes between.
type calls struct {
	first, last *call
	// waiting is the first that waits to be given; those behind it do, too.
	waiting *call
	// pausing is set while calls that upstream has failed are not given to it again, and
	// failure is how, nil when it has served one since.
	pausing bool
	failure error
	toGive  chan struct{} // wakes give
	toServe chan struct{} // wakes serve
}

// wake has a goroutine look again that waits for news.
func wake(news chan struct{}) {
	select {
	case news <- struct{}{}:
	default:
	}
}

// failed is a future that fails.
type failed struct{ err error }

func (f failed) Wait() (physical, logical int64, err error) { return 0, 0, f.err }

// call begins a call that cannot just be given to ours.
func (h *Handover) call(ctx context.Context) Future {
	if ctx == nil {
		return failed{errNilContext}
	}
	if err := ctx.Err(); err != nil {
		return failed{err}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return failed{errClosed{}}
	}
	if c := h.direct.Load(); c != nil {
		return (*c).GetTSAsync(ctx)
	}
	c := &call{h: h, ctx: ctx, began: time.Now(), done: make(chan struct{})}
	if h.calls.last == nil {
		h.calls.first = c
	} else {
		h.calls.last.next = c
	}
	h.calls.last = c
	if h.calls.waiting == nil {
		h.calls.waiting = c
	}
	wake(h.calls.toGive)
	return c
}

// Wait returns the timestamp when it is there, or why there is none.
func (c *call) Wait() (physical, logical int64, err error) {
	if c.waited.Swap(true) {
		return 0, 0, tso.ErrFutureWaited
	}
	select {
	case <-c.done: // also where it comes late to be waited for
		return c.physical, c.logical, c.err
	default:
	}
	timer := time.NewTimer(time.Until(c.began.Add(c.h.budget)))
	defer timer.Stop()
	select {
	case <-c.done:
		return c.physical, c.logical, c.err
	case <-c.ctx.Done():
		return 0, 0, c.ctx.Err()
	case <-timer.C:
		return 0, 0, c.h.spent()
	}
}

// spent returns why calls of which the budget has ended have not been served.
func (h *Handover) spent() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.spentBy(errSilent)
}

// spentBy is spent where a call has ended with an error. Under mu.
func (h *Handover) spentBy(cause error) error {
	switch {
	case h.side == neither:
		cause = errUnderWay
	case h.calls.failure != nil:
		cause = h.calls.failure
	case h.side == upstream:
		cause = errSilent // the error is the budget's own end
	}
	return fmt.Errorf("%w (%w): %w", tso.ErrBudgetSpent, context.DeadlineExceeded, pderr.Background{Err: cause})
}

// give gives calls to upstream one after another, until ctx ends. It alone does, without the
// lock: upstream's GetTSAsync may block, and while upstream looks for a TSO service it does for
// minutes, whatever the context.
func (h *Handover) give(ctx context.Context) {
	for ctx.Err() == nil {
		c, asked, turn := h.firstWaiting()
		if c == nil {
			select {
			case <-ctx.Done():
			case <-h.calls.toGive:
			}
			continue
		}
		h.upstreamCalls.Add(1)
		h.given(c, turn, h.ask(asked))
	}
}

// firstWaiting returns the first call that is to be given to upstream, nil if there is none.
func (h *Handover) firstWaiting() (c *call, asked context.Context, turn int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c = h.calls.waiting
	if c == nil || h.side != upstream || h.calls.pausing {
		return nil, nil, 0
	}
	return c, c.limited(h.budget), c.turn
}

// limited returns the context that a side is asked with. Under mu.
func (c *call) limited(budget time.Duration) context.Context {
	ctx, cancel := context.WithDeadline(c.ctx, c.began.Add(budget))
	c.takeBack = cancel
	return ctx
}

// given notes what upstream holds for a call, unless that has been taken back meanwhile.
func (h *Handover) given(c *call, turn int, future Future) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.turn == turn {
		c.given = future
		h.calls.waiting = c.next
		wake(h.calls.toServe)
	}
}

// giveToOurs gives all calls that wait to ours. Under mu: it begins to serve now, and calls
// that come after these go to it without the lock.
func (h *Handover) giveToOurs() {
	for ; h.calls.waiting != nil; h.calls.waiting = h.calls.waiting.next {
		c := h.calls.waiting
		c.given, c.byOurs = h.client.GetTSAsync(c.limited(h.budget)), true
	}
	wake(h.calls.toServe)
}

// takeBackAll takes all calls back that have not ended, so that they can be given again, but
// those that ours has: these come first, as all that waited were given to it. Under mu.
func (h *Handover) takeBackAll() {
	c := h.calls.first
	for c != nil && c.byOurs {
		c = c.next
	}
	for h.calls.waiting = c; c != nil; c = c.next {
		c.drop()
	}
}

// drop lets go of what a side holds for a call. Under mu.
func (c *call) drop() {
	if c.takeBack != nil {
		c.takeBack()
	}
	c.given, c.takeBack = nil, nil
	c.turn++
}

// serve ends calls one after another, until ctx ends.
func (h *Handover) serve(ctx context.Context) {
	defer h.endAll()
	for ctx.Err() == nil {
		c, given, turn := h.firstGiven()
		if given == nil {
			select {
			case <-ctx.Done():
			case <-h.calls.toServe:
			}
			continue
		}
		physical, logical, err := given.Wait()
		if h.settle(c, turn, physical, logical, err) {
			sleep(ctx, retryPause)
			h.resume()
		}
	}
}

// firstGiven returns the first call and what a side holds for it, nil if there is none or it
// waits to be given.
func (h *Handover) firstGiven() (c *call, given Future, turn int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c = h.calls.first; c == nil {
		return nil, nil, 0
	}
	return c, c.given, c.turn
}

// settle takes the answer to the first call, and reports whether upstream has failed it, and
// all calls are to be given again.
func (h *Handover) settle(c *call, turn int, physical, logical int64, err error) (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && !c.byOurs {
		err = h.rises(tso.ComposeTS(physical, logical))
	}
	switch {
	case c.turn != turn:
		return false // taken back meanwhile
	case err == nil:
		h.highest = max(h.highest, tso.ComposeTS(physical, logical))
		h.calls.failure = nil
	case c.ctx.Err() != nil:
		err = c.ctx.Err()
	case errors.Is(err, tso.ErrBudgetSpent): // ours knows best why
	case !time.Now().Before(c.began.Add(h.budget)):
		err = h.spentBy(err)
	case h.side == upstream && !c.byOurs:
		h.calls.failure = err
		h.takeBackAll()
		h.calls.pausing = true
		return true
	}
	h.endFirst(physical, logical, err)
	return false
}

// rises returns an error if what upstream has granted a call is not above all that has been
// handed out. (Ours sees to that itself; and what it granted before a handover may be looked at
// after.) Upstream does not see that when it has turned to another side itself: to the group
// of its keyspace, from PD, which knows no groups. Under mu.
func (h *Handover) rises(ts uint64) error {
	if ts > h.highest {
		return nil
	}
	return fmt.Errorf("%w: %d after %d", tso.ErrTimestampFallback, ts, h.highest)
}

// endFirst ends the first call. Under mu.
func (h *Handover) endFirst(physical, logical int64, err error) {
	c := h.calls.first
	if h.calls.waiting == c {
		h.calls.waiting = c.next
	}
	h.calls.first = c.next
	if c.next == nil {
		h.calls.last = nil
	}
	c.drop()
	c.physical, c.logical, c.err = physical, logical, err
	close(c.done)
}

// resume gives calls again that upstream has failed.
func (h *Handover) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls.pausing = false
	wake(h.calls.toGive)
}

// endAll ends all calls for good.
func (h *Handover) endAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for h.calls.first != nil {
		h.endFirst(0, 0, errClosed{})
	}
}
