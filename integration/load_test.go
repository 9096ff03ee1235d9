package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
)

// scope is where a call takes its timestamp from.
type scope struct {
	id history.Scope
	dc string // empty for the global scope
}

var global = scope{id: history.Global}

func (s scope) get(ctx context.Context, c tso.Client) (physical, logical int64, err error) {
	if s.dc == "" {
		return c.GetTS(ctx)
	}
	return c.GetLocalTS(ctx, s.dc)
}

func (s scope) getAsync(ctx context.Context, c tso.Client) tso.TSFuture {
	if s.dc == "" {
		return c.GetTSAsync(ctx)
	}
	return c.GetLocalTSAsync(ctx, s.dc)
}

// load is calls by many goroutines, each of which is recorded.
type load struct {
	recorder *history.Recorder
	pause    time.Duration // of a goroutine between two rounds; 0 for none
	quota    atomic.Int64  // calls that may still begin
	running  sync.WaitGroup

	mu       sync.Mutex
	failed   []failure           // guarded by mu
	creation []history.Violation // guarded by mu
}

// failure is a call that returned an error.
type failure struct {
	start, end int64
	err        error
}

// newLoad returns a load that ends after so many calls. Without end, it lasts
// until finish.
func newLoad(calls int64) *load {
	l := &load{recorder: history.NewRecorder()}
	l.quota.Store(calls)
	return l
}

// withoutEnd is the number of calls of a load that lasts until finish.
const withoutEnd = math.MaxInt64 / 2

// callers starts n goroutines that make one call after another.
func (l *load) callers(n int, c tso.Client, s scope) {
	l.start(n, 1, func(log *history.Log) {
		start := log.Start()
		physical, logical, err := s.get(context.Background(), c)
		if err != nil {
			l.fail(start, err)
			return
		}
		log.EndScope(start, checked(physical, logical), s.id)
	})
}

// futures starts n goroutines that take depth futures in order and wait for them
// in reverse.
func (l *load) futures(n, depth int, c tso.Client, s scope) {
	l.start(n, depth, func(log *history.Log) {
		pending, starts := make([]tso.TSFuture, depth), make([]int64, depth)
		for i := range pending {
			starts[i] = log.Start()
			pending[i] = s.getAsync(context.Background(), c)
		}
		var created []uint64 // latest first
		for i, future := range slices.Backward(pending) {
			physical, logical, err := future.Wait()
			if err != nil {
				l.fail(starts[i], err)
				continue
			}
			t := checked(physical, logical)
			created = append(created, t)
			log.EndScope(starts[i], t, s.id)
		}
		slices.Reverse(created)
		if found := history.CreationOrder(created); found != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.creation = append(l.creation, found...)
		}
	})
}

// start runs n goroutines that repeat a round of so many calls.
func (l *load) start(n, calls int, round func(*history.Log)) {
	for range n {
		l.running.Go(func() {
			log := l.recorder.NewLog(4096)
			var tick *time.Ticker
			if l.pause > 0 {
				tick = time.NewTicker(l.pause)
				defer tick.Stop()
			}
			for l.quota.Add(-int64(calls)) >= 0 {
				round(log)
				if tick != nil {
					<-tick.C
				}
			}
		})
	}
}

// checked composes a timestamp. One that cannot be valid becomes 0, which no
// order permits.
func checked(physical, logical int64) uint64 {
	if physical <= 0 || logical < 0 || logical >= 1<<18 {
		return 0
	}
	return tso.ComposeTS(physical, logical)
}

func (l *load) fail(start int64, err error) {
	end := l.recorder.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, failure{start, end, err})
}

// wait returns what came of a load with a quota, when that is used up.
func (l *load) wait() *report {
	l.running.Wait()
	r := &report{calls: l.recorder.Calls(), failed: l.failed, creation: l.creation}
	r.violations = append(history.Check(r.calls), r.creation...)
	return r
}

// finish ends a load and returns what came of it.
func (l *load) finish() *report {
	l.quota.Store(0)
	return l.wait()
}

// report is what came of a load.
type report struct {
	calls      []history.Call
	violations []history.Violation
	creation   []history.Violation
	failed     []failure
}

// requireClean fails t if an order was violated or a call failed.
func (r *report) requireClean(t *testing.T) {
	t.Helper()
	r.requireOrder(t)
	require.Empty(t, r.failed)
}

// requireOrder fails t if an order was violated or a call failed with an error
// that callers cannot tell apart.
func (r *report) requireOrder(t *testing.T) {
	t.Helper()
	t.Log(r)
	require.NoError(t, history.Err(r.violations))
	for _, f := range r.failed {
		require.True(t, typed(f.err), "not a typed error: %v", f.err)
	}
}

// typed reports whether an error is one that the package documents.
func typed(err error) bool {
	return slices.ContainsFunc([]error{
		tso.ErrBudgetSpent, tso.ErrNoLeader, tso.ErrClosed, tso.ErrUnknownDCLocation,
		tso.ErrBadResponse, tso.ErrTimestampFallback, tso.ErrClusterMismatch,
	}, func(known error) bool { return errors.Is(err, known) })
}

// of returns how many calls of a scope have succeeded.
func (r *report) of(s history.Scope) int {
	n := 0
	for _, c := range r.calls {
		if c.Scope == s {
			n++
		}
	}
	return n
}

// longest returns how long the slowest successful call took that was under way
// in an interval.
func (r *report) longest(from, to int64) time.Duration {
	var most int64
	for _, c := range r.calls {
		if c.End >= from && c.Start <= to {
			most = max(most, c.End-c.Start)
		}
	}
	return time.Duration(most).Round(100 * time.Microsecond)
}

// silence returns the longest time in an interval in which no call of a scope
// succeeded.
func (r *report) silence(s history.Scope, from, to int64) time.Duration {
	ends := []int64{from, to}
	for _, c := range r.calls {
		if c.Scope == s && c.End > from && c.End < to {
			ends = append(ends, c.End)
		}
	}
	slices.Sort(ends)
	var most int64
	for i := 1; i < len(ends); i++ {
		most = max(most, ends[i]-ends[i-1])
	}
	return time.Duration(most).Round(100 * time.Microsecond)
}

func (r *report) String() string {
	s := fmt.Sprintf("%d calls checked, %d violations, %d errors, longest call %v",
		len(r.calls), len(r.violations), len(r.failed), r.longest(0, math.MaxInt64))
	for _, f := range r.failed[:min(3, len(r.failed))] {
		s += fmt.Sprintf("\n\tafter %v: %v", time.Duration(f.end-f.start), f.err)
	}
	return s
}
