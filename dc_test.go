package tso

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/internal/history"
	"github.com/tsoring/tso/tsotest"
)

func TestScopesAreUniqueAndOrdered(t *testing.T) {
	dcs := []string{globalDC, "dc-1", "dc-2", "dc-3"}
	s := tsotest.New(t, tsotest.WithMembers(3), tsotest.WithDCs(dcs[1:]...))
	recorder := history.NewRecorder()
	var wg sync.WaitGroup
	for range 2 {
		c := newTestClient(t, s)
		for i, dc := range dcs {
			for range 4 {
				log := recorder.NewLog(2000)
				wg.Go(func() {
					for range 500 {
						start := log.Start()
						physical, logical, err := c.GetLocalTS(context.Background(), dc)
						if err != nil {
							t.Error(err)
							return
						}
						log.EndScope(start, ComposeTS(physical, logical), history.Scope(i))
					}
				})
			}
		}
	}
	wg.Wait()
	require.NoError(t, history.Err(recorder.Check()))
}

func TestUnknownDCIsAnErrorAfterAskingAnew(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1"))
	c := newTestClient(t, s)
	c.(*client).env.grace = 2 * time.Second
	ctx := context.Background()
	for range 3 {
		began := time.Now()
		_, _, err := c.GetLocalTS(ctx, "nowhere")
		require.ErrorIs(t, err, ErrUnknownDCLocation)
		require.ErrorContains(t, err, "nowhere")
		require.Less(t, time.Since(began), 5*time.Second)
	}
	require.NoError(t, s.AddDC("nowhere"))
	_, _, err := c.GetLocalTS(ctx, "nowhere")
	require.NoError(t, err, "it has come into being meanwhile")
	requireGetTS(t, c)
	_, _, err = c.GetLocalTS(ctx, "")
	require.NoError(t, err, "no dc-location is the global scope")
}

// PD's lists lack the allocator while it moves, and while PD elects a leader.
func TestFirstCallWhileTheAllocatorIsHidden(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1"))
	var lists atomic.Int32
	s.ScriptMembers(func(_ int, resp *pdpb.GetMembersResponse) error {
		if lists.Add(1) < 10 {
			resp.TsoAllocatorLeaders = nil
		}
		return nil
	})
	c := newTestClient(t, s)
	_, _, err := c.GetLocalTS(t.Context(), "dc-1")
	require.NoError(t, err)
	require.Greater(t, lists.Load(), int32(1), "none of those before had it")
}

// lanesRunning returns how many lanes have not ended, with all that they have begun. The
// number of goroutines does not tell: others come and go with connections.
func lanesRunning() int {
	stacks := make([]byte, 4<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("tso.(*lane).run("))
}

// PD's client panics when a dc-location goes.
func TestDCThatGoesFailsItsCallsAndNoOthers(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1", "dc-2"))
	c := newTestClient(t, s)
	c.(*client).env.grace = time.Second
	stop := load(t, c, 4)
	ctx := context.Background()
	for range 2 {
		_, _, err := c.GetLocalTS(ctx, "dc-1")
		require.NoError(t, err)
		before := lanesRunning()
		require.NoError(t, s.RemoveDC("dc-1"))
		for err == nil {
			_, _, err = c.GetLocalTS(ctx, "dc-1")
		}
		require.ErrorIs(t, err, ErrUnknownDCLocation)
		require.Eventually(t, func() bool { return lanesRunning() < before }, 5*time.Second, time.Millisecond)
		_, _, err = c.GetLocalTS(ctx, "dc-2")
		require.NoError(t, err)
		require.NoError(t, s.AddDC("dc-1"))
	}
	stop()
}

func TestAllocatorMovesUnderLoad(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3), tsotest.WithDCs("dc-1"))
	c := newTestClient(t, s)
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			last := uint64(0)
			for {
				select {
				case <-quit:
					return
				default:
				}
				physical, logical, err := c.GetLocalTS(context.Background(), "dc-1")
				if err != nil {
					t.Error(err)
					return
				}
				if ts := ComposeTS(physical, logical); ts <= last {
					t.Errorf("%d after %d", ts, last)
				} else {
					last = ts
				}
			}
		})
	}
	for i := range 6 {
		require.NoError(t, s.MoveAllocator("dc-1", i%3))
		_, _, err := c.GetLocalTS(context.Background(), "dc-1")
		require.NoError(t, err)
	}
	close(quit)
	wg.Wait()
}

// A dc-location that comes back must not grant again what it granted before it
// went.
func TestDCThatComesBackIsHeldToItsHighWaterMark(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1"))
	events := make(chan FallbackEvent, 100)
	c := newTestClient(t, s, WithFallbackHook(func(e FallbackEvent) { events <- e }))
	c.(*client).env.grace = time.Second
	ctx := context.Background()
	physical, logical, err := c.GetLocalTS(ctx, "dc-1")
	require.NoError(t, err)
	before := ComposeTS(physical, logical)
	require.NoError(t, s.RemoveDC("dc-1"))
	for err == nil {
		_, _, err = c.GetLocalTS(ctx, "dc-1")
	}
	require.ErrorIs(t, err, ErrUnknownDCLocation)
	require.NoError(t, s.AddDC("dc-1"))
	var first atomic.Bool
	s.Script(func(tsotest.Request) tsotest.Reply {
		if first.CompareAndSwap(false, true) {
			return hostileReplies["timestamps of before"]
		}
		return tsotest.Reply{}
	})
	physical, logical, err = c.GetLocalTS(ctx, "dc-1")
	require.NoError(t, err)
	require.Greater(t, ComposeTS(physical, logical), before)
	require.GreaterOrEqual(t, (<-events).Highest, before)
}

// Lanes that begin while the client is closed must end all the same.
func TestCloseRacesNewDCs(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1", "dc-2", "dc-3"))
	for range 50 {
		c, err := NewClient(s.URLs(), SecurityOption{})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for _, dc := range []string{"dc-1", "dc-2", "dc-3", "nowhere"} {
			wg.Go(func() {
				for {
					if _, _, err := c.GetLocalTS(context.Background(), dc); errors.Is(err, ErrClosed) {
						return
					}
				}
			})
		}
		runtime.Gosched()
		c.Close()
		wg.Wait()
	}
}

func TestListWithoutTheDCKeepsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inMemory(t, []tsotest.Option{tsotest.WithMembers(3), tsotest.WithDCs("dc-1")})
		requireGetTS(t, c)
		_, _, err := c.GetLocalTS(t.Context(), "dc-1")
		require.NoError(t, err)
		streams := c.Stats().Streams

		s.ScriptMembers(func(_ int, resp *pdpb.GetMembersResponse) error {
			resp.TsoAllocatorLeaders = nil
			return nil
		})
		_, err = c.GetAllMembers(t.Context())
		require.NoError(t, err)
		for range 100 {
			_, _, err := c.GetLocalTS(t.Context(), "dc-1")
			require.NoError(t, err)
		}
		require.Equal(t, streams, c.Stats().Streams)
	})
}
