package handover

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat"
	"github.com/tsoring/tso/tsotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is an upstream whose timestamps come from a server of tsotest, by a client of
// this library's, and fail or come late when it says so.
type service struct {
	client tso.Client
	asked  atomic.Int64
	broken atomic.Bool
	back   atomic.Uint64 // taken off each timestamp, composed
	block  atomic.Pointer[chan struct{}]
}

var errBroken = errors.New("the TSO service is down")

func (s *service) ask(ctx context.Context) Future {
	s.asked.Add(1)
	if let := s.block.Load(); let != nil {
		<-*let
	}
	if s.broken.Load() {
		return failed{errBroken}
	}
	return late{s, s.client.GetTSAsync(ctx)}
}

type late struct {
	s *service
	Future
}

func (l late) Wait() (physical, logical int64, err error) {
	physical, logical, err = l.Future.Wait()
	if err == nil {
		physical, logical = tso.ExtractTS(tso.ComposeTS(physical, logical) - l.s.back.Load())
	}
	return physical, logical, err
}

// newService returns a service over the server.
func newService(t *testing.T, server *tsotest.Server) *service {
	t.Helper()
	c, err := tso.NewClient(server.URLs(), tso.SecurityOption{}, tso.WithLogger(zap.NewNop()))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return &service{client: c}
}

// start returns a Handover over the server that has started.
func start(t *testing.T, server *tsotest.Server, s *service, change ...func(*Config)) *Handover {
	t.Helper()
	cfg := Config{Addresses: server.URLs(), Timeout: 6 * time.Second, MaxRetry: 3, Log: zap.NewNop()}
	for _, f := range change {
		f(&cfg)
	}
	h := New(cfg)
	h.Start(context.Background(), s.ask)
	t.Cleanup(func() { h.Close(); h.Wait() })
	return h
}

// turn has the mode changed, and waits until calls go where they should.
func turn(t *testing.T, server *tsotest.Server, h *Handover, m pdpb.ServiceMode) {
	t.Helper()
	server.SetServiceMode(m)
	h.nudge()
	require.Eventually(t, func() bool {
		s := h.Stats()
		return s.Upstream == (m == pdpb.ServiceMode_API_SVC_MODE)
	}, 10*time.Second, time.Millisecond)
}

func TestOursServesWherePDGrantsTimestamps(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s)
	_, _, err := h.GetTS(context.Background())
	require.NoError(t, err)
	_, _, err = h.GetTSAsync(context.Background()).Wait()
	require.NoError(t, err)
	b, err := h.GetTSBatch(context.Background(), 3)
	require.NoError(t, err)
	require.Equal(t, 3, b.Len())
	require.Zero(t, s.asked.Load())
	require.NotNil(t, h.Ours())
	stats := h.Stats()
	require.False(t, stats.Upstream)
	require.Empty(t, stats.Why)
	require.EqualValues(t, 5, stats.Timestamps)
}

func TestUpstreamServesWhereTSOIsAServiceOfItsOwn(t *testing.T) {
	server := tsotest.New(t)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	s := newService(t, server)
	h := start(t, server, s)
	_, _, err := h.GetTS(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, s.asked.Load())
	require.Nil(t, h.Ours())
	_, err = h.GetTSBatch(context.Background(), 3)
	require.ErrorIs(t, err, pdcompat.ErrNoBatches)
	stats := h.Stats()
	require.True(t, stats.Upstream)
	require.Equal(t, ownService, stats.Why)
	require.EqualValues(t, 1, stats.UpstreamCalls)
	require.Zero(t, stats.Timestamps, "ours asks for none")
}

func TestUpstreamServesKeyspaces(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Upstream = "a keyspace" })
	_, _, err := h.GetTS(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, s.asked.Load())
	require.Equal(t, "a keyspace", h.Stats().Why)
	require.NoError(t, h.SetOption(tso.EnableTSOFollowerProxy, true), "there is no client of ours")
}

func TestServerProxyIsOursAlways(t *testing.T) {
	server := tsotest.New(t)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.ServerProxy = true })
	_, _, err := h.GetTS(context.Background())
	require.NoError(t, err)
	require.Zero(t, s.asked.Load())
}

func TestUpstreamServesUntilOursCanConnect(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	require.NoError(t, server.Hold())
	h := start(t, server, s, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	stats := h.Stats()
	require.True(t, stats.Upstream)
	require.Contains(t, stats.Why, "cannot be made")
	require.NoError(t, server.Release())
	h.nudge()
	require.Eventually(t, func() bool { h.nudge(); return h.Ours() != nil }, 10*time.Second, time.Millisecond)
}

func TestWhatCannotEverConnectIsNotTriedAgain(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Addresses = []string{"nonsense"} })
	require.True(t, h.Stats().Upstream)
	_, _, err := h.GetTS(context.Background())
	require.NoError(t, err)
	h.nudge()
	_, _, err = h.GetTS(context.Background())
	require.NoError(t, err)
	require.Len(t, h.nudged, 1, "nobody is there to be woken")
}

// Callers in each way of calling, over handovers in both directions: no call fails, and
// timestamps rise for each goroutine, for futures in the order in which they were taken.
func TestHandoversFailNoCallAndKeepTheOrder(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s)
	stop := make(chan struct{})
	var callers sync.WaitGroup
	var served atomic.Int64
	for i := range 8 {
		callers.Go(func() {
			var last uint64
			for {
				select {
				case <-stop:
					return
				default:
				}
				last = rises(t, h, last, i%2 == 0)
				served.Add(1)
			}
		})
	}
	for range 5 {
		for _, m := range []pdpb.ServiceMode{pdpb.ServiceMode_API_SVC_MODE, pdpb.ServiceMode_PD_SVC_MODE} {
			turn(t, server, h, m)
			before := served.Load()
			require.Eventually(t, func() bool { return served.Load() > before+100 }, 10*time.Second, time.Millisecond)
		}
	}
	close(stop)
	callers.Wait()
	require.EqualValues(t, 10, h.Stats().Handovers)
	require.Nil(t, h.calls.first, "what has been served is not kept")
}

// rises makes a call, or takes three futures and waits for them backwards, and returns the
// last of their timestamps, which have to rise.
func rises(t *testing.T, h *Handover, last uint64, single bool) uint64 {
	t.Helper()
	ctx := context.Background()
	if single {
		physical, logical, err := h.GetTS(ctx)
		requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
		return last
	}
	futures := [3]Future{h.GetTSAsync(ctx), h.GetTSAsync(ctx), h.GetTSAsync(ctx)}
	var got [3]uint64
	var errs [3]error
	for i := 2; i >= 0; i-- {
		var physical, logical int64
		physical, logical, errs[i] = futures[i].Wait()
		got[i] = tso.ComposeTS(physical, logical)
	}
	for i := range got {
		requireAbove(t, &last, got[i], errs[i])
	}
	return last
}

func requireAbove(t *testing.T, last *uint64, ts uint64, err error) {
	t.Helper()
	if err != nil || ts <= *last {
		t.Errorf("a call after %d got %d, %v", *last, ts, err)
	}
	*last = ts
}

func TestFuturesThatUpstreamFailsComeInTheirOrder(t *testing.T) {
	server := tsotest.New(t)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	s := newService(t, server)
	h := start(t, server, s)
	ctx := context.Background()
	s.broken.Store(true)
	first := h.GetTSAsync(ctx)
	s.broken.Store(false)
	second := h.GetTSAsync(ctx) // given to upstream at once, before the first is given again
	var last uint64
	physical, logical, err := first.Wait()
	requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
	physical, logical, err = second.Wait()
	requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
}

func TestTheSideThatComesMustGrantMoreThanTheOneThatGoes(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s)
	_, _, err := h.GetTS(context.Background())
	require.NoError(t, err)
	s.back.Store(tso.ComposeTS(3_600_000, 0)) // an hour behind
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	h.nudge()
	require.Eventually(t, func() bool {
		require.NotNil(t, h.Ours(), "calls do not wait for a side that is far behind")
		return s.asked.Load() > 3
	}, 10*time.Second, time.Millisecond)
	physical, logical, err := h.GetTS(context.Background())
	require.NoError(t, err, "calls go on where they were")
	require.Greater(t, tso.ComposeTS(physical, logical), s.back.Load())
	require.False(t, h.Stats().Upstream)
	s.back.Store(0)
	require.Eventually(t, func() bool { return h.Stats().Upstream }, 10*time.Second, time.Millisecond)
}

// Upstream can turn to other timestamps by itself: where a keyspace's group is served again
// after PD, which knows no groups.
func TestTimestampsOfUpstreamRise(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Upstream, c.Timeout = "a keyspace", time.Second })
	_, _, err := h.GetTS(context.Background())
	require.NoError(t, err)
	s.back.Store(tso.ComposeTS(3_600_000, 0)) // an hour behind
	_, _, err = h.GetTS(context.Background())
	require.ErrorIs(t, err, tso.ErrBudgetSpent)
	require.ErrorIs(t, err, tso.ErrTimestampFallback)
	var last uint64
	begun := h.GetTSAsync(context.Background())
	s.back.Store(0)
	physical, logical, err := begun.Wait()
	requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
}

func TestCallsOfUpstreamEndWithTheirContextAndBudget(t *testing.T) {
	server := tsotest.New(t)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	s.broken.Store(true)
	_, _, err := h.GetTS(context.Background())
	require.ErrorIs(t, err, tso.ErrBudgetSpent)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, errBroken, "the last cause")
	ctx, cancel := context.WithCancelCause(context.Background())
	future := h.GetTSAsync(ctx)
	cancel(nil)
	_, _, err = future.Wait()
	require.Error(t, err)
	require.Error(t, ctx.Err())
	_, _, err = h.GetTS(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = h.GetTS(nil) //nolint:staticcheck // the error is what is looked at
	require.ErrorIs(t, err, tso.ErrInvalidArgument)
	_, _, err = future.Wait()
	require.ErrorIs(t, err, tso.ErrFutureWaited)
}

func TestFuturesThatNobodyWaitsForAreLetGo(t *testing.T) {
	server := tsotest.New(t)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Timeout = 500 * time.Millisecond })
	forgotten := h.GetTSAsync(context.Background())
	require.Eventually(t, func() bool {
		_, _, err := h.GetTS(context.Background())
		return err == nil && h.calls.first == nil
	}, 10*time.Second, time.Millisecond)
	_, _, err := forgotten.Wait()
	require.NoError(t, err, "what it was given is there")
}

// PD's client looks for a TSO service for minutes at times, in calls that are deaf to their
// context.
func TestUpstreamThatBlocksHoldsUpNobody(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Timeout = time.Second })
	let := make(chan struct{})
	s.block.Store(&let)
	asked := s.asked.Load()
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	h.nudge()
	require.Eventually(t, func() bool { return s.asked.Load() > asked }, 10*time.Second, time.Millisecond)
	for range 10 {
		_, _, err := h.GetTS(context.Background())
		require.NoError(t, err, "ours serves as long as upstream does not")
	}
	close(let)
	require.Eventually(t, func() bool { return h.Stats().Upstream }, 10*time.Second, time.Millisecond)

	again := make(chan struct{})
	s.block.Store(&again)
	_, _, err := h.GetTS(context.Background())
	require.ErrorIs(t, err, tso.ErrBudgetSpent)
	future := h.GetTSAsync(context.Background())
	h.Close()
	_, _, err = future.Wait()
	requireClosed(t, err)
	close(again)
}

func TestEverythingAfterCloseIsClosed(t *testing.T) {
	for _, m := range []pdpb.ServiceMode{pdpb.ServiceMode_PD_SVC_MODE, pdpb.ServiceMode_API_SVC_MODE} {
		server := tsotest.New(t)
		server.SetServiceMode(m)
		s := newService(t, server)
		h := start(t, server, s)
		require.NoError(t, server.Hold())
		waiting := h.GetTSAsync(context.Background())
		h.Close()
		h.Close()
		_, _, err := waiting.Wait()
		requireClosed(t, err)
		_, _, err = h.GetTS(context.Background())
		requireClosed(t, err)
		_, _, err = h.GetTSAsync(context.Background()).Wait()
		requireClosed(t, err)
		require.NoError(t, server.Release())
	}
}

// requireClosed fails unless programs of either client see what they look for.
func requireClosed(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, tso.ErrClosed)
	require.NotErrorIs(t, err, context.Canceled)
	caused, ok := err.(interface{ Cause() error })
	require.True(t, ok)
	require.Equal(t, context.Canceled, caused.Cause())
}

func TestCallsEndWithTheContextOfTheClient(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	ctx, cancel := context.WithCancel(context.Background())
	h := New(Config{Addresses: server.URLs(), Timeout: time.Second, MaxRetry: 3, Log: zap.NewNop()})
	h.Start(ctx, s.ask)
	cancel()
	require.Eventually(t, func() bool {
		_, _, err := h.GetTS(context.Background())
		return errors.Is(err, tso.ErrClosed)
	}, 10*time.Second, time.Millisecond)
	h.Close()
	h.Wait()
}
