package apimode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

// load is calls by many goroutines of several clients, all of one keyspace group, each of
// which is recorded. It lasts until finish.
type load struct {
	recorder *history.Recorder
	stop     atomic.Bool
	served   atomic.Int64
	running  sync.WaitGroup

	mu       sync.Mutex
	failed   []error             // guarded by mu
	creation []history.Violation // guarded by mu
}

func newLoad() *load { return &load{recorder: history.NewRecorder()} }

// callers starts n goroutines that make one call after another.
func (l *load) callers(n int, c pd.Client) {
	l.start(n, func(log *history.Log) {
		start := log.Start()
		physical, logical, err := c.GetTS(context.Background())
		if l.check(log, start, err) {
			log.End(start, tso.ComposeTS(physical, logical))
		}
	})
}

// futures starts n goroutines that take depth futures in order and wait for them in
// reverse.
func (l *load) futures(n, depth int, c pd.Client) {
	l.start(n, func(log *history.Log) {
		starts := make([]int64, depth)
		waits := make([]func() (physical, logical int64, err error), depth)
		for i := range depth {
			starts[i] = log.Start()
			waits[i] = c.GetTSAsync(context.Background()).Wait
		}
		var created []uint64 // latest first
		for i, wait := range slices.Backward(waits) {
			physical, logical, err := wait()
			if l.check(log, starts[i], err) {
				created = append(created, tso.ComposeTS(physical, logical))
				log.End(starts[i], created[len(created)-1])
			}
		}
		slices.Reverse(created)
		if found := history.CreationOrder(created); found != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.creation = append(l.creation, found...)
		}
	})
}

// pause is how long a goroutine rests between two rounds: the load is there to meet every
// moment of a change, not to keep the processors from those that change.
const pause = 2 * time.Millisecond

func (l *load) start(n int, round func(*history.Log)) {
	for range n {
		l.running.Go(func() {
			log := l.recorder.NewLog(4096)
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for !l.stop.Load() {
				round(log)
				<-tick.C
			}
		})
	}
}

// check counts a call, and keeps why it has failed if it has.
func (l *load) check(log *history.Log, start int64, err error) bool {
	if err == nil {
		l.served.Add(1)
		return true
	}
	took := time.Duration(log.Start() - start).Round(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, fmt.Errorf("after %v: %w", took, err))
	return false
}

// more waits for calls that begin from now on to be served.
func (l *load) more(t *testing.T) {
	t.Helper()
	before := l.served.Load()
	require.Eventually(t, func() bool { return l.served.Load() > before+1000 }, time.Minute, time.Millisecond)
}

// late is how much longer a call may take than nobody serves: 3 s until PD's own client has
// found out that the mode has changed, and as much again.
const late = 6 * time.Second

// finish ends the load and fails t if a call failed, an order was broken, or a call took much
// longer than PD has not served, which is outage at most.
func (l *load) finish(t *testing.T, outage time.Duration) []history.Call {
	t.Helper()
	l.stop.Store(true)
	l.running.Wait()
	calls := l.recorder.Calls()
	var longest int64
	for _, c := range calls {
		longest = max(longest, c.End-c.Start)
	}
	t.Logf("%d calls, longest %v, outage %v", len(calls),
		time.Duration(longest).Round(time.Millisecond), outage.Round(time.Millisecond))
	l.mu.Lock()
	defer l.mu.Unlock()
	require.NoError(t, errors.Join(l.failed[:min(3, len(l.failed))]...), "%d calls failed", len(l.failed))
	require.NoError(t, history.Err(history.Check(calls)))
	require.NoError(t, history.Err(l.creation))
	require.Less(t, time.Duration(longest), outage+late)
	return calls
}
