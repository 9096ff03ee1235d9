package tso

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/tsoring/tso/internal/history"
	"github.com/tsoring/tso/tsotest"
)

// newTestClient returns a client of the server, closed with the test.
func newTestClient(t testing.TB, s *tsotest.Server, opts ...ClientOption) Client {
	t.Helper()
	c, err := NewClient(s.URLs(), SecurityOption{}, opts...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// inMemory returns a server without sockets and a client of it, for a synctest bubble: there
// a machine that has other things to do makes nobody late, and no stream doubtful.
func inMemory(t testing.TB, of []tsotest.Option, opts ...ClientOption) (*tsotest.Server, Client) {
	t.Helper()
	s := tsotest.New(t, append(of, tsotest.WithBufconn())...)
	return s, newTestClient(t, s, append(opts, WithGRPCDialOptions(grpc.WithContextDialer(s.Dialer())))...)
}

// requireGetTS returns the timestamp of a call that succeeds.
func requireGetTS(t testing.TB, c Client) uint64 {
	t.Helper()
	physical, logical, err := c.GetTS(context.Background())
	require.NoError(t, err)
	require.Positive(t, physical)
	require.GreaterOrEqual(t, logical, int64(0))
	require.Less(t, logical, int64(1<<logicalBits))
	return ComposeTS(physical, logical)
}

// load calls from many goroutines until the returned function is called, which
// requires that no call failed and that the order held.
func load(t testing.TB, c Client, callers int) (stop func()) {
	recorder := history.NewRecorder()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range callers {
		log := recorder.NewLog(1 << 10)
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				start := log.Start()
				physical, logical, err := c.GetTS(context.Background())
				if err != nil {
					t.Errorf("call failed: %v", err)
					return
				}
				log.End(start, ComposeTS(physical, logical))
			}
		})
	}
	return func() {
		close(quit)
		wg.Wait()
		require.NoError(t, history.Err(recorder.Check()))
		require.NotEmpty(t, recorder.Calls())
	}
}

func TestFirstCallAfterNewClientSucceeds(t *testing.T) {
	s := tsotest.New(t)
	last := uint64(0)
	for range 20 {
		c, err := NewClient(s.URLs(), SecurityOption{})
		require.NoError(t, err)
		ts := requireGetTS(t, c)
		require.Greater(t, ts, last)
		last = ts
		c.Close()
	}
}

func TestOrderOverManyGoroutinesAndClients(t *testing.T) {
	s := tsotest.New(t)
	recorder := history.NewRecorder()
	var wg sync.WaitGroup
	for range 2 {
		c := newTestClient(t, s)
		for range 32 {
			log := recorder.NewLog(4000)
			wg.Go(func() {
				for range 300 {
					start := log.Start()
					physical, logical, err := c.GetTS(context.Background())
					if err != nil {
						t.Error(err)
						return
					}
					log.End(start, ComposeTS(physical, logical))
				}
			})
		}
	}
	wg.Wait()
	require.NoError(t, history.Err(recorder.Check()))
	require.Len(t, recorder.Calls(), 2*32*300)
}

func TestFuturesWaitedInReverseHoldCreationOrder(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				futures := make([]TSFuture, 100)
				for i := range futures {
					futures[i] = c.GetTSAsync(context.Background())
				}
				got := make([]uint64, len(futures))
				for i := len(futures) - 1; i >= 0; i-- {
					physical, logical, err := futures[i].Wait()
					if err != nil {
						t.Error(err)
						return
					}
					got[i] = ComposeTS(physical, logical)
				}
				if err := history.Err(history.CreationOrder(got)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestContextThatIsDoneCostsNoRPC(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s)
	requireGetTS(t, c)
	before := c.Stats()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := c.GetTS(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = c.GetTSAsync(ctx).Wait()
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.GetAllMembers(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before.RPCs, c.Stats().RPCs)
}

func TestNilContextIsAnErrorThatSaysSo(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s)
	var none context.Context
	_, _, err := c.GetTS(none)
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, _, err = c.GetTSAsync(none).Wait()
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, err = NewClientWithContext(none, s.URLs(), SecurityOption{})
	require.ErrorIs(t, err, ErrInvalidArgument)
}

func TestCallEndsWithItsContextWhileTheServerIsSilent(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s)
	requireGetTS(t, c)
	require.NoError(t, s.Hold())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, _, err := c.GetTS(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, ErrBudgetSpent)
	require.Less(t, time.Since(began), time.Second)
	require.NoError(t, s.Release())
	requireGetTS(t, c)
}

// The pile-up that breaks PD's client: callers with little time while the server
// is silent. All come back in time, and what is answered in the end reaches
// nobody else.
func TestPileUpOnASilentServer(t *testing.T) {
	callers := 45_000
	if raceEnabled {
		callers = 5000
	}
	s := tsotest.New(t)
	c := newTestClient(t, s)
	floor := requireGetTS(t, c)
	require.NoError(t, s.Hold())
	var wg sync.WaitGroup
	late := make([]time.Duration, callers)
	for i := range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			defer cancel()
			deadline, _ := ctx.Deadline()
			if _, _, err := c.GetTS(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			late[i] = time.Since(deadline)
		})
	}
	wg.Wait()
	worst := time.Duration(0)
	for _, d := range late {
		worst = max(worst, d)
	}
	t.Logf("%d callers, the latest %v after its deadline", callers, worst)
	require.Less(t, worst, 3*time.Second, "on a machine with as much else to do; 0.1 s on a quiet one")
	require.NoError(t, s.Release())
	stop := load(t, c, 100)
	for range 2000 {
		require.Greater(t, requireGetTS(t, c), floor)
	}
	stop()
}

func TestCloseUnderLoad(t *testing.T) {
	for _, silent := range []bool{false, true} {
		ignore := goleak.IgnoreCurrent()
		s, err := tsotest.Start()
		require.NoError(t, err)
		c, err := NewClient(s.URLs(), SecurityOption{})
		require.NoError(t, err)
		requireGetTS(t, c)
		if silent {
			require.NoError(t, s.Hold())
		}
		var wg sync.WaitGroup
		for range 2000 {
			wg.Go(func() {
				for {
					_, _, err := c.GetTS(context.Background())
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("got %v", err)
						return
					}
				}
			})
		}
		future := c.GetTSAsync(context.Background())
		for c.Stats().RPCs < 2 {
			runtime.Gosched()
		}
		began := time.Now()
		for range 3 {
			wg.Go(c.Close)
		}
		wg.Wait()
		took := time.Since(began)
		t.Logf("silent=%v: Close and all callers took %v", silent, took)
		require.Less(t, took, time.Second)
		if _, _, err := future.Wait(); silent {
			require.ErrorIs(t, err, ErrClosed)
		}
		s.Close()
		goleak.VerifyNone(t, ignore)
	}
}

func TestEverythingAfterCloseSaysSo(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1"))
	c := newTestClient(t, s)
	_, _, err := c.GetLocalTS(context.Background(), "dc-1")
	require.NoError(t, err)
	c.Close()
	c.Close()
	ctx := context.Background()
	_, _, err = c.GetTS(ctx)
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = c.GetTSAsync(ctx).Wait()
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = c.GetLocalTS(ctx, "dc-1")
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = c.GetLocalTSAsync(ctx, "dc-2").Wait()
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = c.GetMinTS(ctx)
	require.ErrorIs(t, err, ErrClosed)
	_, err = c.GetAllMembers(ctx)
	require.ErrorIs(t, err, ErrClosed)
	require.NotEmpty(t, c.GetLeaderAddr())
	require.Equal(t, s.ClusterID(), c.GetClusterID(ctx))
	require.NoError(t, c.UpdateOption(TSOClientRPCConcurrency, 4))
	require.NotZero(t, c.Stats().RPCs)
}

func TestCallsAfterCloseReturnWhatTheProgramLooksFor(t *testing.T) {
	ours := fmt.Errorf("%w: as another client said it", ErrClosed)
	s := tsotest.New(t)
	c := newTestClient(t, s, WithClosedError(ours))
	requireGetTS(t, c)
	require.NoError(t, s.Hold())
	future := c.GetTSAsync(context.Background())
	c.Close()
	_, _, err := future.Wait()
	require.Equal(t, ours, err, "a call that waits when the client is closed")
	_, _, err = c.GetTS(context.Background())
	require.Equal(t, ours, err)
	_, err = c.GetAllMembers(context.Background())
	require.Equal(t, ours, err)
}

func TestHighestIsTheLargestTimestampGranted(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1"))
	c := newTestClient(t, s)
	require.Zero(t, c.Stats().Highest)
	for range 3 {
		physical, logical, err := c.GetTS(context.Background())
		require.NoError(t, err)
		require.Equal(t, ComposeTS(physical, logical), c.Stats().Highest)
	}
	before := c.Stats().Highest
	_, _, err := c.GetLocalTS(context.Background(), "dc-1")
	require.NoError(t, err)
	require.Equal(t, before, c.Stats().Highest, "that of a dc-location is another scope's")
}

func TestClientEndsWithItsContext(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	s, err := tsotest.Start()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	c, err := NewClientWithContext(ctx, s.URLs(), SecurityOption{})
	require.NoError(t, err)
	requireGetTS(t, c)
	require.NoError(t, s.Hold())
	future := c.GetTSAsync(context.Background())
	cancel()
	_, _, err = future.Wait()
	require.ErrorIs(t, err, ErrClosed)
	c.Close()
	s.Close()
	goleak.VerifyNone(t, ignore)
}

func TestLeaderMovesUnderLoad(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	stop := load(t, c, 16)
	for i := range 9 {
		require.NoError(t, s.MoveLeader(i%3))
		requireGetTS(t, c)
	}
	stop()
}

func TestMembers(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	members, err := c.GetAllMembers(context.Background())
	require.NoError(t, err)
	require.Len(t, members, 3)
	require.Equal(t, s.URL(0), c.GetLeaderAddr())
	require.NoError(t, s.MoveLeader(2))
	requireGetTS(t, c)
	require.Eventually(t, func() bool { return c.GetLeaderAddr() == s.URL(2) }, 5*time.Second, time.Millisecond,
		"the list follows a stream that has found the leader")
}

func TestContextThatIsDoneWithoutAnErrorEndsCallsOfTheClient(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s)
	require.NoError(t, s.Hold())
	ctx := early{t.Context()}
	_, _, err := c.GetTS(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = c.GetTSAsync(ctx).Wait()
	require.ErrorIs(t, err, context.Canceled)
	s.ScriptMembers(func(int, *pdpb.GetMembersResponse) error {
		<-t.Context().Done()
		return nil
	})
	_, err = c.GetAllMembers(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
