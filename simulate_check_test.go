package tso

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tsoring/tso/internal/history"
)

// What a call may come to, and when.

const (
	// simCalmCall bounds a call when nothing is wrong, beside the latency. It is less
	// than a lane's tick, which would make up for a lost wake-up.
	simCalmCall = 20 * time.Millisecond
	// simCloses bounds Close.
	simCloses = 100 * time.Millisecond
)

// recovers bounds how long it takes from healing until the next call is served.
func (p *simPlan) recovers() time.Duration { return p.timeout + 4*time.Second }

// budgetEnds bounds when a call ends that is out of budget, as WithRequestBudget
// documents it, and the wheel's grain. A call that has waited for room in its ring
// stands behind younger ones, whose budgets are looked at first.
func (p *simPlan) budgetEnds() time.Duration {
	if p.capacity < simRoomy {
		return 2*p.budget + 20*time.Millisecond
	}
	return p.budget + max(p.budget/20, 15*time.Millisecond) + 2*time.Millisecond
}

// simRoomy is the least capacity of a ring that the callers do not fill.
const simRoomy = 128

func (w *simWorld) isOver(err error) bool { return errors.Is(err, ErrClosed) }

// judge holds all calls against the contract.
func (w *simWorld) judge(closed time.Duration) {
	for _, v := range w.recorder.Check() {
		if v.Kind != history.KindOrder || !w.poisoned {
			w.violation("%v", v)
		}
	}
	largest := w.server.Stats().Largest
	for _, c := range w.calls {
		if why := w.fault(&c, closed, largest[c.dc]); why != "" {
			w.violation("%s: %v", why, c)
		}
	}
}

// fault says what is wrong with a call, "" for nothing.
func (w *simWorld) fault(c *simCall, closed time.Duration, largest uint64) string {
	took := c.end - c.start
	switch {
	case c.end > max(c.limit, c.waited):
		return fmt.Sprintf("%v after its context", c.end-max(c.limit, c.waited))
	case c.end > max(c.start+w.plan.budgetEnds(), c.waited):
		return fmt.Sprintf("after its budget by %v", took-w.plan.budget)
	case c.end > max(closed, c.waited):
		return fmt.Sprintf("%v after Close", c.end-closed)
	case c.err == nil && c.t <= c.floor && !w.poisoned:
		return fmt.Sprintf("not fresh: PD had granted %d before", c.floor)
	case c.err == nil && max(c.t, c.last) > largest:
		return "PD has never granted that"
	case w.calm(c) && !errors.Is(c.err, ErrUnknownDCLocation) && took > w.calmCall() && c.waited == c.start:
		return fmt.Sprintf("took %v without a reason", took)
	case c.err != nil:
		return w.error(c)
	}
	return ""
}

// calm reports whether nothing that could delay a call was wrong while it ran.
func (w *simWorld) calm(c *simCall) bool {
	switch {
	case w.poisoned, c.dc != globalDC && !slices.Contains(w.plan.dcs, c.dc):
		return false
	case w.plan.profile.onlyDC && c.dc != "dc-1":
		return true
	default:
		return w.calmed > 0 && c.start > w.calmed
	}
}

// calmCall bounds a call when nothing that concerns it is wrong. Two things take longer:
// with the follower proxy, a connection that has gone dead is noticed only when a request
// is sent on it again, after a patience of up to half the RPC timeout if answers have been
// late before; and a stream that is opened beside a dc-location in trouble shares its
// allowance.
func (w *simWorld) calmCall() time.Duration {
	d := simCalmCall + 4*w.plan.latency
	if w.plan.proxy || w.plan.profile.onlyDC {
		d += 400*time.Millisecond + patienceInRoundTrips*w.plan.latency
	}
	if w.plan.proxy {
		d += w.plan.timeout / 2
	}
	return d
}

// error says why a call may not fail as it did.
func (w *simWorld) error(c *simCall) string {
	if c.t != 0 {
		return "an error and a timestamp"
	}
	unfit := func(ok bool) string {
		if ok {
			return ""
		}
		return "an error without a reason"
	}
	recovered := w.plan.healed + w.plan.recovers()
	switch err := c.err; {
	case errors.Is(err, ErrClosed):
		return unfit(c.end >= w.closes)
	case errors.Is(err, ErrBudgetSpent):
		return unfit(c.end-c.start >= w.plan.budget && c.start < recovered && (!w.calm(c) || w.plan.budget <= w.calmCall()) && errors.Is(err, context.DeadlineExceeded))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unfit(c.ctxErr != nil && errors.Is(err, c.ctxErr) && c.end >= c.limit)
	case errors.Is(err, ErrUnknownDCLocation):
		return unfit(!slices.Contains(w.plan.dcs, c.dc) || w.wasOdd(c.dc, c.start, c.end))
	case errors.Is(err, ErrBadResponse):
		return unfit(w.wasOdd("answers", c.start, c.end))
	case errors.Is(err, ErrClusterMismatch):
		return unfit(w.wasOdd("members", c.start, c.end))
	}
	return "an error of no kind"
}

// simLines collects lines from any goroutine.
type simLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *simLines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// simSummary is what all seeds came to.
type simSummary struct {
	mu        sync.Mutex
	seeds     int
	calls     int
	served    int
	errors    map[string]int
	faults    map[string]int
	fake      time.Duration
	recovered []time.Duration
	closed    []time.Duration
}

func newSimSummary() *simSummary {
	return &simSummary{errors: make(map[string]int), faults: make(map[string]int)}
}

// add takes account of a run.
func (s *simSummary) add(w *simWorld, recovered []time.Duration, closed time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds++
	s.fake += w.now()
	s.recovered = append(s.recovered, recovered...)
	s.closed = append(s.closed, closed)
	s.calls += len(w.calls)
	for _, c := range w.calls {
		if c.err == nil {
			s.served++
			continue
		}
		s.errors[simErrorName(c.err)]++
	}
	for _, f := range w.plan.faults {
		s.faults[f.kind.name]++
	}
}

func simErrorName(err error) string {
	for _, e := range []error{
		ErrClosed, ErrBudgetSpent, ErrUnknownDCLocation, ErrBadResponse, ErrClusterMismatch,
		context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return "another"
}

func (s *simSummary) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%d seeds, %v of fake time, %d calls, %d served\n", s.seeds, s.fake.Round(time.Second), s.calls, s.served)
	for _, counts := range []map[string]int{s.errors, s.faults} {
		for _, name := range sortedKeys(counts) {
			_, _ = fmt.Fprintf(&b, "  %7d  %s\n", counts[name], name)
		}
	}
	_, _ = fmt.Fprintf(&b, "served again after healing: %s\nClose took: %s", simQuantiles(s.recovered), simQuantiles(s.closed))
	return b.String()
}

func simQuantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "never measured"
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))] }
	return fmt.Sprintf("median %v, p90 %v, p99 %v, longest %v (%d)", at(0.5), at(0.9), at(0.99), at(1), len(d))
}
