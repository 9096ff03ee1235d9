package tsotest

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestControl_LeaderMoves(t *testing.T) {
	s := New(t, WithMembers(2))
	old := openStream(t, s, 0)
	last := old.get("", 1)[0]
	require.NoError(t, s.MoveLeader(1))
	require.Equal(t, 1, s.Leader())
	require.ErrorContains(t, old.fails(""), "is not leader")
	require.Greater(t, openStream(t, s, 1).get("", 1)[0], last)
	s.DropLeader()
	require.Equal(t, -1, s.Leader())
	require.ErrorContains(t, openStream(t, s, 1).fails(""), "is not leader")
}

func TestControl_StopAndStart(t *testing.T) {
	for _, opts := range [][]Option{{}, {WithBufconn()}} {
		s := New(t, append(opts, WithMembers(2))...)
		st := openStream(t, s, 0)
		last := st.get("", 1)[0]
		url := s.URL(0)
		require.NoError(t, s.StopMember(0))
		require.NoError(t, s.StopMember(0), "stopped already")
		_, err := st.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err))
		err = <-attempt(t, s, 0)
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, err, "refused")
		require.Len(t, s.URLs(), 2)
		err = openStream(t, s, 1, url).fails("")
		require.Equal(t, codes.Unavailable, status.Code(err), "a relay can't reach it either")

		require.NoError(t, s.StartMember(0))
		require.NoError(t, s.StartMember(0), "runs already")
		require.Equal(t, url, s.URL(0))
		require.Greater(t, openStream(t, s, 0).get("", 1)[0], last)
	}
}

func TestControl_MembersComeAndGo(t *testing.T) {
	s := New(t)
	i, err := s.AddMember()
	require.NoError(t, err)
	require.Equal(t, 1, i)
	require.NoError(t, s.RemoveMember(0))
	require.Equal(t, -1, s.Leader())
	require.Equal(t, []string{s.URL(1)}, s.URLs())
	require.Empty(t, s.URL(0))
	require.NoError(t, s.MoveLeader(1))
	openStream(t, s, 1).get("", 1)
	require.Len(t, s.Stats().Members, 2)
	i, err = s.AddMember()
	require.NoError(t, err)
	require.Equal(t, 2, i, "a number is never used again")
}

func TestControl_DCsComeAndGo(t *testing.T) {
	s := New(t, WithMembers(2), WithDCs("a"))
	st := openStream(t, s, 0)
	before := st.get("a", 1)[0]
	require.NoError(t, s.AddDC("b"))
	require.Error(t, s.AddDC("b"))
	require.NoError(t, s.MoveAllocator("b", 0))
	require.Greater(t, st.get("a", 1)[0], before)
	b := st.get("b", 1)[0]
	require.EqualValues(t, 2, b&3, "its suffix")
	require.NoError(t, s.RemoveDC("b"))
	require.Error(t, s.RemoveDC("b"))
	require.Error(t, s.MoveAllocator("b", 0))
	require.ErrorContains(t, st.fails("b"), "allocator not found")
	require.NoError(t, s.AddDC("b"))
	require.NoError(t, s.MoveAllocator("b", 0))
	again := openStream(t, s, 0).get("b", 1)[0]
	require.Greater(t, again, b)
	require.EqualValues(t, 2, again&3, "the old suffix")
}

func TestControl_NoSuchMember(t *testing.T) {
	s := New(t, WithMembers(2), WithDCs("a"), WithBufconn())
	require.NoError(t, s.RemoveMember(1))
	for _, i := range []int{-1, 1, 2} {
		for _, err := range []error{
			s.MoveLeader(i), s.MoveAllocator("a", i), s.RemoveMember(i), s.StopMember(i), s.StartMember(i),
			s.CloseStreams(i), s.SetServing(i, true), s.Hold(0, i), s.Release(i), s.SetLatency(1, i),
			s.CutPath(i), s.HealPath(i), s.SilenceConns(i), s.ResetConns(i),
		} {
			require.ErrorContains(t, err, "there is no member")
		}
	}
	openStream(t, s, 0).get("", 1) // Hold(0, -1) did nothing to 0
}

func TestControl_CloseStreams(t *testing.T) {
	s := New(t, WithMembers(2))
	require.NoError(t, s.MoveLeader(1))
	direct, relayed := openStream(t, s, 1), openStream(t, s, 0, s.URL(1))
	for _, st := range []*raw{direct, relayed} {
		st.get("", 1)
	}
	require.NoError(t, s.CloseStreams(1))
	for _, st := range []*raw{direct, relayed} {
		_, err := st.Recv()
		require.Equal(t, io.EOF, err)
	}
	openStream(t, s, 1).get("", 1)
}

func TestControl_HoldFreezesEverything(t *testing.T) {
	s := New(t, WithMembers(2))
	frozen, relayed := openStream(t, s, 0), openStream(t, s, 1, s.URL(0))
	require.NoError(t, s.Hold(0))
	frozen.ask("", 1)
	relayed.ask("", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := pdpb.NewPDClient(connect(t, s, 0)).GetMembers(ctx, &pdpb.GetMembersRequest{})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	_, err = pdpb.NewPDClient(connect(t, s, 1)).GetMembers(t.Context(), &pdpb.GetMembersRequest{})
	require.NoError(t, err)
	require.NoError(t, s.Release())
	for _, st := range []*raw{frozen, relayed} {
		_, err := st.Recv()
		require.NoError(t, err)
		st.get("", 1)
	}
}

func TestControl_Latency(t *testing.T) {
	s := New(t)
	st := openStream(t, s, 0)
	st.get("", 1)
	require.NoError(t, s.SetLatency(30*time.Millisecond))
	start := time.Now()
	for range 20 {
		st.ask("", 1)
	}
	for range 20 {
		_, err := st.Recv()
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, time.Since(start), 30*time.Millisecond)
	require.Less(t, time.Since(start), 20*30*time.Millisecond)
	require.NoError(t, s.SetLatency(0))
	st.get("", 1)
}

// TestControl_AnythingAtAnyTime is for the race detector: clients at work while
// everything is changed at random. Whatever they are told is unique.
func TestControl_AnythingAtAnyTime(t *testing.T) {
	s := New(t, WithMembers(3), WithDCs("a"), WithBufconn())
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	const enough = 600
	answered := make(chan struct{}, 1)
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var wg sync.WaitGroup
	for i := range 6 {
		conn := connect(t, s, i%3)
		wg.Go(func() {
			for ctx.Err() == nil {
				st, err := pdpb.NewPDClient(conn).Tso(ctx, grpc.WaitForReady(true)) // no spinning meanwhile
				for err == nil {
					req := &pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: s.ClusterID()}, Count: 3}
					if rand.IntN(2) == 0 {
						req.DcLocation = "a"
					}
					if err = st.Send(req); err != nil {
						break
					}
					var resp *pdpb.TsoResponse
					if resp, err = st.Recv(); err == nil {
						mu.Lock()
						for _, ts := range expand(resp) {
							if seen[ts] {
								t.Error("twice:", ts)
							}
							seen[ts] = true
						}
						if len(seen) >= enough {
							cancel()
						}
						mu.Unlock()
						select {
						case answered <- struct{}{}:
						default:
						}
					}
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				disturb(s, rand.IntN(3))
				select {
				case <-answered: // not faster than the clients are on this machine
				case <-time.After(5 * time.Millisecond): // there may be no answers before the next
				}
			}
		})
	}
	wg.Wait()
	require.GreaterOrEqual(t, len(seen), enough)
}

func disturb(s *Server, i int) {
	actions := []func(){
		func() { _ = s.MoveLeader(i) },
		func() { _ = s.MoveLeader(i) },
		func() { _ = s.MoveAllocator("a", i) },
		func() { s.DropLeader() },
		func() { _ = s.StopMember(i); _ = s.StartMember(i) },
		func() { _ = s.StartMember(i) },
		func() { _ = s.CloseStreams(i) },
		func() { _ = s.Hold(i); _ = s.Release(i) },
		func() { _ = s.SetLatency(time.Duration(i) * 100 * time.Microsecond) },
		func() { _ = s.RemoveDC("a"); _ = s.AddDC("a") },
		func() { _ = s.CutPath(i); _ = s.HealPath(i) },
		func() { _ = s.ResetConns(i) },
		func() { s.Script(func(r Request) Reply { return Reply{Hold: r.N == 7, Delay: 1} }) },
		func() { s.Script(nil); _ = s.Release() },
		func() { s.Stats() },
	}
	actions[rand.IntN(len(actions))]()
}
