package handover

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// within fails unless f returns soon.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal(what + " hangs")
	}
}

// Upstream keeps callers for minutes, deaf to their contexts, while it looks for a TSO
// service, and for as long as its queue is full.
func TestNobodyWaitsForAnUpstreamThatKeepsACall(t *testing.T) {
	server := tsotest.New(t)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	kept, letGo := make(chan struct{}, 100), make(chan struct{})
	h := New(Config{Addresses: server.URLs(), Timeout: 6 * time.Second, MaxRetry: 3, Log: zap.NewNop()})
	h.Start(context.Background(), func(context.Context) Future {
		kept <- struct{}{}
		<-letGo
		return failed{errBroken}
	})
	defer close(letGo)
	first := h.GetTSAsync(context.Background())
	<-kept
	within(t, "a call whose context ends", func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, _, err := h.GetTS(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	within(t, "Stats", func() { require.True(t, h.Stats().Upstream) })
	within(t, "a stream of upstream's, which that call may wait for", func() {
		_, err := h.Intercept(context.Background(), nil, nil, tsoMethod, func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string,
			...grpc.CallOption,
		) (grpc.ClientStream, error) {
			return nil, nil
		})
		require.NoError(t, err)
	})
	within(t, "a handover", func() { turn(t, server, h, pdpb.ServiceMode_PD_SVC_MODE) })
	within(t, "the call that upstream was to serve", func() {
		_, _, err := first.Wait()
		require.NoError(t, err)
	})
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	h.nudge()
	<-kept // a probe
	within(t, "a call of ours' meanwhile", func() {
		_, _, err := h.GetTS(context.Background())
		require.NoError(t, err)
	})
	within(t, "Close", h.Close)
}

// Calls that wait because upstream has just failed are older than those that ours is given
// as soon as it serves.
func TestCallsThatUpstreamHasFailedComeBeforeNewOnes(t *testing.T) {
	server := tsotest.New(t)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	s := newService(t, server)
	h := start(t, server, s)
	for range 5 {
		h.begin(upstream, "")
		s.broken.Store(true)
		first := h.GetTSAsync(context.Background())
		require.Eventually(t, func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.calls.pausing
		}, 10*time.Second, time.Microsecond)
		h.begin(ours, "")
		var last uint64
		second := h.GetTSAsync(context.Background())
		for _, future := range []Future{first, second} {
			physical, logical, err := future.Wait()
			requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
		}
	}
}

// What upstream gives up by itself, it says is canceled. Whether the caller's context has
// ended, only the context says.
func TestNoErrorSaysThatTheCallersContextHasEndedWhereItHasNot(t *testing.T) {
	server := tsotest.New(t)
	h := New(Config{Addresses: server.URLs(), Timeout: 200 * time.Millisecond, Log: zap.NewNop(), Upstream: "a keyspace"})
	h.Start(context.Background(), func(context.Context) Future { return failed{context.Canceled} })
	defer h.Close()
	_, _, err := h.GetTS(context.Background())
	require.ErrorIs(t, err, tso.ErrBudgetSpent)
	require.NotErrorIs(t, err, context.Canceled)
}

func TestASilentUpstreamIsNoHandover(t *testing.T) {
	server := tsotest.New(t)
	h := New(Config{Addresses: server.URLs(), Timeout: 200 * time.Millisecond, Log: zap.NewNop(), Upstream: "a keyspace"})
	letGo := make(chan struct{})
	defer close(letGo)
	h.Start(context.Background(), func(context.Context) Future {
		<-letGo
		return failed{errBroken}
	})
	defer h.Close()
	_, _, err := h.GetTS(context.Background())
	require.ErrorIs(t, err, tso.ErrBudgetSpent)
	require.NotErrorIs(t, err, errUnderWay)
	require.ErrorIs(t, err, errSilent)
}

func TestAFutureThatIsServedIsNotLateToBeWaitedFor(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Timeout, c.Upstream = time.Second, "a keyspace" })
	ctx, cancel := context.WithCancel(context.Background())
	futures := make([]*call, 30)
	for i := range futures {
		future, ok := h.GetTSAsync(ctx).(*call)
		require.True(t, ok)
		futures[i] = future
	}
	for _, future := range futures {
		<-future.done
	}
	cancel()
	for _, future := range futures {
		_, _, err := future.Wait()
		require.NoError(t, err)
	}
}

func TestACallHasOneBudget(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Timeout = 500 * time.Millisecond })
	require.NoError(t, server.Hold())
	result := make(chan error)
	go func() {
		_, _, err := h.GetTS(context.Background())
		result <- err
	}()
	require.Eventually(t, func() bool { return h.Stats().Timestamps > 0 }, 10*time.Second, time.Millisecond)
	h.begin(upstream, "")
	require.ErrorIs(t, <-result, tso.ErrBudgetSpent)
	require.Zero(t, s.asked.Load())
}

// A future that ours has and cannot serve yet is waited for, since it could come to be
// served after those that are taken later.
func TestAHandoverWaitsForTheFuturesThatOursHas(t *testing.T) {
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	server := tsotest.New(t, tsotest.WithClock(ahead))
	h := start(t, server, newService(t, tsotest.New(t)))
	server.Script(func(tsotest.Request) tsotest.Reply { return tsotest.Reply{Hold: true} })
	first := h.GetTSAsync(context.Background())
	require.Eventually(t, func() bool { return server.Stats().Requests > 0 }, 10*time.Second, time.Millisecond)
	server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
	h.nudge()
	require.Eventually(t, func() bool { return h.Ours() == nil }, 10*time.Second, time.Millisecond)
	second := h.GetTSAsync(context.Background())
	require.Never(t, func() bool { return h.Stats().Upstream }, 1500*time.Millisecond, 10*time.Millisecond)
	server.Script(nil)
	require.NoError(t, server.Release())
	var last uint64
	for _, future := range []Future{first, second} {
		physical, logical, err := future.Wait()
		requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
	}
}

// What ours has granted to calls that waited for it counts, also if nobody has looked at it
// before the next handovers: calls that came after these have timestamps above it.
func TestCallsThatOursHasServedAreNotServedAgain(t *testing.T) {
	for name, next := range map[string]func(*Handover){
		"upstream serves":                 func(*Handover) {},
		"and hands over, or fails a call": (*Handover).takeBackAll,
	} {
		t.Run(name, func(t *testing.T) {
			server := tsotest.New(t)
			server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
			s := newService(t, server)
			h := start(t, server, s)
			let := make(chan struct{})
			defer close(let)
			s.block.Store(&let)
			first, second := h.GetTSAsync(context.Background()), h.GetTSAsync(context.Background())
			h.stop(upstream)
			h.mu.Lock() // nobody can look at answers
			h.turnTo(ours, "")
			third := h.client.GetTSAsync(context.Background())
			_, _, _ = h.client.GetTS(context.Background())
			h.highest = max(h.highest, h.client.Stats().Highest)
			h.turnTo(upstream, ownService)
			next(h)
			h.mu.Unlock()
			var last uint64
			for _, future := range []Future{first, second, third} {
				physical, logical, err := future.Wait()
				requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
			}
		})
	}
}

func TestUpstreamServesForAReasonThatIsSaidOnce(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	core, logs := observer.New(zapcore.WarnLevel)
	h := start(t, server, s, func(c *Config) {
		c.Log = zap.New(core)
		c.Security.CAPath = "missing"
	})
	require.Contains(t, h.Stats().Why, "missing")
	requireSaid(t, logs, "missing")
	h.cfg.Security = tso.SecurityOption{} // the certificates have come
	h.nudge()
	require.Eventually(t, func() bool { return h.Ours() != nil }, 10*time.Second, time.Millisecond)
	logs.TakeAll()
	turn(t, server, h, pdpb.ServiceMode_API_SVC_MODE)
	require.Equal(t, ownService, h.Stats().Why)
	requireSaid(t, logs, ownService)
}

func requireSaid(t *testing.T, logs *observer.ObservedLogs, why string) {
	t.Helper()
	const message = "timestamps come from PD's own client"
	// It is said a moment after it is so.
	require.Eventually(t, func() bool { return logs.FilterMessage(message).Len() > 0 }, 10*time.Second, time.Millisecond)
	said := logs.FilterMessage(message).TakeAll()
	require.Len(t, said, 1)
	require.Contains(t, said[0].ContextMap()["why"], why)
}

// A mode that changes all the time, an upstream that fails at times, and the end in the
// midst of it.
func TestFlippingModesFailNoCallAndKeepTheOrderUntilTheEnd(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s, func(c *Config) { c.Timeout = time.Minute })
	var callers sync.WaitGroup
	closed := make(chan struct{})
	for range 4 {
		taken := make(chan Future, 50)
		callers.Go(func() { takeUntil(closed, h, taken) })
		callers.Go(func() { riseUntilClosed(t, taken) })
	}
	for i := range 16 {
		s.broken.Store(i%4 == 3) // which has to give it up then
		server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE - pdpb.ServiceMode(i%2))
		h.nudge()
		before := h.upstreamCalls.Load()
		for deadline := time.Now().Add(50 * time.Millisecond); time.Now().Before(deadline) && h.upstreamCalls.Load() < before+5; {
			_ = rises(t, h, 0, true)
		}
	}
	require.NotZero(t, h.Stats().Handovers)
	require.NotZero(t, h.Stats().UpstreamCalls)
	h.Close()
	close(closed)
	callers.Wait()
	require.Nil(t, h.calls.first)
}

// takeUntil takes futures, more than are waited for at a time, so that handovers come between
// them.
func takeUntil(closed <-chan struct{}, h *Handover, taken chan<- Future) {
	defer close(taken)
	for {
		select {
		case <-closed:
			return
		case taken <- h.GetTSAsync(context.Background()):
		}
	}
}

// riseUntilClosed fails unless the timestamps of futures rise until the client is closed.
func riseUntilClosed(t *testing.T, taken <-chan Future) {
	t.Helper()
	var last uint64
	for future := range taken {
		physical, logical, err := future.Wait()
		if !errors.Is(err, tso.ErrClosed) {
			requireAbove(t, &last, tso.ComposeTS(physical, logical), err)
		}
	}
}
