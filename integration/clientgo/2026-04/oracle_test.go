package clientgo

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/pkg/errors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/oracle/oracles"
	pd "github.com/tikv/pd/client"

	"github.com/tsoring/tso/integration/bank"
	"github.com/tsoring/tso/integration/clientgo/2026-04/stack"
	"github.com/tsoring/tso/internal/history"
)

var global = &oracle.Option{TxnScope: oracle.GlobalTxnScope}

// source is client-go's oracle, and the client below it.
type source struct {
	oracle.Oracle
	client pd.Client
	taken  *bank.Tally
}

// newOracle opens an oracle that updates its low resolution timestamp once in an interval.
// At the end of the test it is closed, and what it took is checked.
func newOracle(t *testing.T, c subject, interval time.Duration) *source {
	t.Helper()
	client, err := c.open(context.WithoutCancel(t.Context()), oneNode.use(t).ClientURLs())
	require.NoError(t, err)
	s := &source{client: client, taken: bank.NewTally()}
	t.Cleanup(func() {
		s.client.Close()
		c.checkTaken(t, client, s.taken)
	})
	s.Oracle, err = oracles.NewPdOracle(stack.Counted(client, s.taken), &oracles.PDOracleOptions{UpdateInterval: interval})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// now returns a new timestamp.
func (s *source) now(t *testing.T) uint64 {
	t.Helper()
	ts, err := s.GetTimestamp(t.Context(), global)
	require.NoError(t, err)
	return ts
}

func TestOracle_OrderOverGoroutines(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		s := newOracle(t, c, time.Hour)
		const goroutines, calls = 64, 100
		var all sync.WaitGroup
		for range goroutines {
			all.Go(func() {
				for range calls {
					if _, err := s.GetTimestamp(t.Context(), global); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		taken, failed := s.taken.Counts()
		require.Equal(t, goroutines*calls+1, taken, "and the one that the oracle begins with")
		require.Zero(t, failed)
	})
}

func TestOracle_FuturesInTheirOrder(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		s := newOracle(t, c, time.Hour)
		before := s.now(t)
		futures := make([]oracle.Future, 1000)
		for i := range futures {
			futures[i] = s.GetTimestampAsync(t.Context(), global)
		}
		taken := []uint64{before}
		for _, f := range futures {
			ts, err := f.Wait()
			require.NoError(t, err)
			taken = append(taken, ts)
		}
		require.Empty(t, history.CreationOrder(append(taken, s.now(t))))
	})
}

// The low resolution timestamp is the latest that was taken, and moves on without anybody
// who takes one.
func TestOracle_LowResolution(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		s := newOracle(t, c, 50*time.Millisecond)
		latest := s.now(t)
		low, err := s.GetLowResolutionTimestamp(t.Context(), global)
		require.NoError(t, err)
		require.GreaterOrEqual(t, low, latest)
		require.Eventually(t, func() bool {
			next, err := s.GetLowResolutionTimestampAsync(t.Context(), global).Wait()
			return err == nil && next > low
		}, 10*time.Second, 10*time.Millisecond)
		require.True(t, s.IsExpired(latest-1<<18, 0, global))
		require.False(t, s.IsExpired(s.now(t), uint64(time.Hour.Milliseconds()), global))
	})
}

func TestOracle_StaleTimestamp(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		s := newOracle(t, c, time.Hour)
		const seconds = 5
		now := s.now(t)
		stale, err := s.GetStaleTimestamp(t.Context(), oracle.GlobalTxnScope, seconds)
		require.NoError(t, err)
		age := oracle.GetTimeFromTS(now).Sub(oracle.GetTimeFromTS(stale))
		require.InDelta(t, seconds*time.Second, age, float64(4*time.Second))
		_, err = s.GetStaleTimestamp(t.Context(), oracle.GlobalTxnScope, math.MaxInt32)
		require.ErrorContains(t, err, "invalid prevSecond")
	})
}

func TestOracle_ValidatesReadTimestamps(t *testing.T) {
	oracles.EnableTSValidation.Store(true)
	defer oracles.EnableTSValidation.Store(false)
	each(t, func(t *testing.T, c subject) {
		s, another := newOracle(t, c, time.Hour), newOracle(t, c, time.Hour)
		ctx := bounded(t, time.Minute)
		// One that this oracle has not seen makes it ask PD.
		for range 10 {
			require.NoError(t, s.ValidateReadTS(ctx, another.now(t), false, global))
		}
		require.NoError(t, s.ValidateReadTS(ctx, math.MaxUint64, false, global))
		require.ErrorAs(t, s.ValidateReadTS(ctx, math.MaxUint64, true, global), new(oracle.ErrLatestStaleRead))
		future := oracle.GoTimeToTS(oracle.GetTimeFromTS(s.now(t)).Add(time.Hour))
		require.ErrorAs(t, s.ValidateReadTS(ctx, future, false, global), new(oracle.ErrFutureTSRead))
		// Of many that ask at the same time, each is right.
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				ts, err := another.GetTimestamp(ctx, global)
				if err = errors.WithMessage(err, "timestamp"); err == nil {
					err = s.ValidateReadTS(ctx, ts, true, global)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

func TestOracle_ExternalTimestamp(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		s := newOracle(t, c, time.Hour)
		older, external := s.now(t), s.now(t)
		require.NoError(t, s.SetExternalTimestamp(t.Context(), external))
		got, err := s.GetExternalTimestamp(t.Context())
		require.NoError(t, err)
		require.Equal(t, external, got)
		require.Error(t, s.SetExternalTimestamp(t.Context(), older))
		require.Error(t, s.SetExternalTimestamp(t.Context(), s.now(t)+1<<40), "of the future")
		got, err = s.GetExternalTimestamp(t.Context())
		require.NoError(t, err)
		require.Equal(t, external, got)
	})
}

func TestOracle_MinTimestamp(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		s := newOracle(t, c, time.Hour)
		before := s.now(t)
		least, err := s.GetAllTSOKeyspaceGroupMinTS(t.Context())
		require.NoError(t, err)
		require.Greater(t, least, before)
		require.Greater(t, s.now(t), least)
	})
}

// Calls that Close interrupts, and those after it, return soon, with what TiCDC looks for.
func TestOracle_ClosedDuringUse(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		s := newOracle(t, c, time.Hour)
		var all sync.WaitGroup
		working := make(chan struct{}, 64)
		for range cap(working) {
			all.Go(func() {
				_, err := s.GetTimestamp(t.Context(), global)
				working <- struct{}{}
				for err == nil {
					_, err = s.GetTimestamp(t.Context(), global)
				}
				assert.Equal(t, context.Canceled, errors.Cause(err), err)
			})
		}
		for range cap(working) {
			<-working
		}
		s.client.Close()
		all.Wait()
		_, err := s.GetTimestampAsync(t.Context(), global).Wait()
		require.Equal(t, context.Canceled, errors.Cause(err))
	})
}
