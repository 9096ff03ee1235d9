package integration_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
)

// repeating is a client that hands out one timestamp a second time, as the
// hundredth and again as the last call that it is asked for.
type repeating struct {
	tso.Client
	calls atomic.Int64
	last  int64

	mu                sync.Mutex
	physical, logical int64 // guarded by mu; of the hundredth call
}

func (c *repeating) GetTS(ctx context.Context) (physical, logical int64, err error) {
	physical, logical, err = c.Client.GetTS(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.calls.Add(1) {
	case 100:
		c.physical, c.logical = physical, logical
	case c.last:
		return c.physical, c.logical, err
	}
	return physical, logical, err
}

// backward is a client that hands out two futures in the wrong order, once. It
// serves one goroutine.
type backward struct {
	tso.Client
	calls int
	kept  tso.TSFuture
}

func (c *backward) GetTSAsync(ctx context.Context) tso.TSFuture {
	c.calls++
	switch c.calls {
	case 100:
		c.kept = c.Client.GetTSAsync(ctx)
		return c.Client.GetTSAsync(ctx)
	case 101:
		return c.kept
	default:
		return c.Client.GetTSAsync(ctx)
	}
}

// The tests of this package would notice: the same load over a client that
// breaks a promise once in ten thousand calls.
func TestPlantedViolation_IsSeen(t *testing.T) {
	cluster := oneNode.use(t)
	const calls = 10_000
	l := newLoad(calls)
	l.callers(16, &repeating{Client: connect(t, cluster.ClientURLs(), plain), last: calls}, global)
	r := l.wait()
	require.Len(t, r.calls, calls)
	require.Len(t, r.violations, 2, "%v", history.Err(r.violations))
	require.Equal(t, history.KindOrder, r.violations[0].Kind)
	require.Equal(t, history.KindDuplicate, r.violations[1].Kind)
	require.Equal(t, r.violations[1].First.T, r.violations[1].Second.T)
}

func TestPlantedInversionOfFutures_IsSeen(t *testing.T) {
	cluster := oneNode.use(t)
	l := newLoad(1_024)
	l.futures(1, 32, &backward{Client: connect(t, cluster.ClientURLs(), plain)}, global)
	r := l.wait()
	require.Len(t, r.creation, 1)
	require.Equal(t, history.KindCreation, r.creation[0].Kind)
	require.Equal(t, r.creation, r.violations)
}
