package tsotest

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/etcdwatch"
)

// watching is a watch by the library's own client, and all that it is told.
type watching struct {
	*etcdwatch.Stream
	t       *testing.T
	now     etcdwatch.Snapshot // that it began with
	updates chan etcdwatch.Update
	err     error // read when updates is closed
}

// watchFrom begins to watch the keys of now at member i, until the end of t.
func watchFrom(t *testing.T, conn *grpc.ClientConn, now etcdwatch.Snapshot) *watching {
	t.Helper()
	stream, err := etcdwatch.Watch(context.Background(), conn, now)
	require.NoError(t, err)
	w := &watching{Stream: stream, t: t, now: now, updates: make(chan etcdwatch.Update, 1000)}
	go func() {
		defer close(w.updates)
		for {
			u, err := stream.Next()
			if err != nil {
				w.err = err
				return
			}
			w.updates <- u
		}
	}()
	t.Cleanup(func() {
		stream.Close()
		for range w.updates { // to its end
		}
	})
	return w
}

// watchAt watches keys at member i, by default the leader's.
func watchAt(t *testing.T, s *Server, i int, keys ...string) *watching {
	t.Helper()
	conn := connect(t, s, i)
	w := watchFrom(t, conn, rangeAt(t, s, conn, keys...))
	require.True(t, w.next().Begun)
	return w
}

func rangeAt(t *testing.T, s *Server, conn *grpc.ClientConn, keys ...string) etcdwatch.Snapshot {
	t.Helper()
	if len(keys) == 0 {
		keys = []string{leaderKey(s.ClusterID())}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now, err := etcdwatch.Range(ctx, conn, keys)
	require.NoError(t, err)
	return now
}

// next returns what is told next.
func (w *watching) next() etcdwatch.Update {
	w.t.Helper()
	select {
	case u, ok := <-w.updates:
		if !ok {
			require.NoError(w.t, w.err)
		}
		return u
	case <-time.After(patience):
		require.FailNow(w.t, "nothing is told")
		return etcdwatch.Update{}
	}
}

// tells requires that each of changes comes next, in an answer of its own: a member's name, or ""
// where the key is deleted.
func (w *watching) tells(changes ...string) {
	w.t.Helper()
	for _, want := range changes {
		u := w.next()
		require.Len(w.t, u.Events, 1)
		require.Equal(w.t, want, nameOf(w.t, u.Events[0]))
		require.GreaterOrEqual(w.t, u.Revision, u.Events[0].Revision)
	}
}

// silent requires that nothing is told for some time of a bubble.
func (w *watching) silent(d time.Duration) {
	w.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	require.Empty(w.t, w.updates)
}

// asked asks for progress and returns the answer.
func (w *watching) asked() etcdwatch.Update {
	w.t.Helper()
	require.NoError(w.t, w.Progress())
	u := w.next()
	require.True(w.t, u.Progress())
	return u
}

// ends returns why nothing is told any more.
func (w *watching) ends() error {
	w.t.Helper()
	select {
	case u, more := <-w.updates:
		require.False(w.t, more, "told: %v", u)
		return w.err
	case <-time.After(patience):
		require.FailNow(w.t, "the watch goes on")
		return nil
	}
}

// nameOf returns who holds a key by an event.
func nameOf(t *testing.T, e etcdwatch.Event) string {
	t.Helper()
	if e.Deleted {
		require.Empty(t, e.Value)
		return ""
	}
	var m pdpb.Member
	require.NoError(t, m.Unmarshal(e.Value))
	require.Equal(t, "pd-"+strconv.Itoa(int(m.MemberId)-1), m.Name)
	require.Len(t, m.ClientUrls, 1)
	require.Equal(t, m.ClientUrls, m.PeerUrls)
	return m.Name
}

// inBubble runs a test of a server with three members and watches, in a bubble.
func inBubble(t *testing.T, test func(t *testing.T, s *Server)) {
	synctest.Test(t, func(t *testing.T) { test(t, New(t, WithBufconn(), WithMembers(3), WithWatch())) })
}

func TestWatch_UnimplementedUnlessAskedFor(t *testing.T) {
	s := New(t)
	conn := connect(t, s, 0)
	_, err := etcdwatch.Range(t.Context(), conn, []string{"a"})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	w := watchFrom(t, conn, etcdwatch.Snapshot{Header: etcdwatch.Header{Revision: 1}, Events: []etcdwatch.Event{{Key: "a"}}})
	require.Equal(t, codes.Unimplemented, status.Code(w.ends()))
	for _, err := range []error{
		s.HoldWatches(), s.ReleaseWatches(), s.SetWatchBehind(true), s.SetWatchDelay(1), s.RefuseWatches(errClosed),
		s.EndWatches(), s.CompactWatches(),
	} {
		require.Equal(t, errNoWatch, err)
	}
	require.Zero(t, s.Stats().Ranges)
}

// Over sockets and in memory, plain and TLS.
func TestWatch_TellsWhoLeads(t *testing.T) {
	for name, opts := range map[string][]Option{
		"tcp": nil, "bufconn": {WithBufconn()}, "tls": {WithTLS(serverTLS(t))},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t, append(opts, WithMembers(3), WithWatch())...)
			list, err := pdpb.NewPDClient(connect(t, s, 2)).GetMembers(t.Context(), &pdpb.GetMembersRequest{})
			require.NoError(t, err)
			w := watchAt(t, s, 2)
			require.Equal(t, "pd-0", nameOf(t, w.now.Events[0]))
			require.Equal(t, list.Members[2].MemberId, w.now.MemberID)
			require.NotEqual(t, s.ClusterID(), w.now.ClusterID)
			require.NoError(t, s.MoveLeader(1))
			gone, back := w.next(), w.next()
			require.Equal(t, []etcdwatch.Event{{Key: leaderKey(s.ClusterID()), Deleted: true, Revision: w.now.Revision + 1}}, gone.Events)
			require.Equal(t, "pd-1", nameOf(t, back.Events[0]))
			require.Equal(t, w.now.Revision+2, back.Events[0].Revision)
			require.Equal(t, w.now.Term+1, back.Term)
			require.Equal(t, back.Header, w.asked().Header)
			require.Equal(t, back.Header, rangeAt(t, s, connect(t, s, 2)).Header)
		})
	}
}

func TestWatch_FollowsTheTopology(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(t, WithBufconn(), WithMembers(3), WithDCs("a"), WithWatch())
		leader := watchAt(t, s, 2)
		a := watchAt(t, s, 2, allocatorKey(s.ClusterID(), "a"))
		b := watchAt(t, s, 2, allocatorKey(s.ClusterID(), "b"))
		require.Equal(t, "pd-0", nameOf(t, leader.now.Events[0]))
		require.Equal(t, "pd-0", nameOf(t, a.now.Events[0]))
		require.True(t, b.now.Events[0].Deleted)
		require.NoError(t, s.MoveLeader(0)) // it is that already
		s.DropLeader()
		leader.tells("")
		s.DropLeader()
		require.NoError(t, s.MoveLeader(1))
		leader.tells("pd-1")
		require.NoError(t, s.MoveAllocator("a", 1))
		a.tells("", "pd-1")
		require.NoError(t, s.AddDC("b"))
		b.tells("pd-1")
		require.NoError(t, s.RemoveMember(1)) // of all that it led
		for _, w := range []*watching{leader, a, b} {
			w.tells("")
		}
		require.NoError(t, s.MoveAllocator("b", 2))
		require.NoError(t, s.RemoveDC("b"))
		b.tells("pd-2", "")
		require.NoError(t, s.StopMember(0)) // what led it would lead on
		i, err := s.AddMember()
		require.NoError(t, err)
		require.NoError(t, s.MoveLeader(i))
		leader.tells("pd-3")
		for _, w := range []*watching{leader, a, b} {
			w.silent(time.Hour)
		}
	})
}

// What happened before a watch began comes in one answer.
func TestWatch_CatchesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		conn := connect(t, s, 1)
		before := rangeAt(t, s, conn)
		require.NoError(t, s.MoveLeader(1))
		s.DropLeader()
		w := watchFrom(t, conn, before)
		begun := w.next()
		require.True(t, begun.Begun)
		require.Equal(t, before.Revision+3, begun.Revision)
		require.Len(t, w.next().Events, 3)
		require.NoError(t, s.MoveLeader(2))
		w.tells("pd-2")
		w.silent(time.Minute)
	})
}

// A revision that is still to come is accepted in silence.
func TestWatch_FromTheFuture(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		conn := connect(t, s, 1)
		future := rangeAt(t, s, conn)
		future.Revision += 4
		w := watchFrom(t, conn, future)
		require.True(t, w.next().Begun)
		for i := range 3 { // two revisions each
			w.silent(time.Hour)
			require.Equal(t, future.Revision-4+2*int64(i), w.asked().Revision)
			require.NoError(t, s.MoveLeader(1+i%2))
		}
		w.tells("", "pd-1")
	})
}

func TestWatch_OfAMemberThatStops(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		w := watchAt(t, s, 1)
		require.NoError(t, s.StopMember(1))
		require.Equal(t, codes.Unavailable, status.Code(w.ends()))
		require.NoError(t, s.MoveLeader(2))
		time.Sleep(time.Hour)
		require.NoError(t, s.StartMember(1))
		again := watchAt(t, s, 1)
		require.Equal(t, w.now, again.now, "it names who led before")
		again.silent(restartLag - time.Millisecond)
		require.Equal(t, w.now.Header, again.asked().Header)
		again.tells("", "pd-2")
		again.silent(time.Hour)
		require.Equal(t, "pd-2", nameOf(t, rangeAt(t, s, connect(t, s, 1)).Events[0]))
	})
}

func TestWatch_Stats(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		w := watchAt(t, s, 1, "a", "b")
		w.asked()
		w.asked()
		watchAt(t, s, 1)
		w.Close()
		synctest.Wait()
		st := s.Stats()
		require.Equal(t, MemberStats{Conns: 2, OpenConns: 2, Ranges: 3, Watches: 2, OpenWatches: 1, Progress: 2}, st.Members[1])
		require.EqualValues(t, 3, st.Ranges)
		require.EqualValues(t, 2, st.Watches)
		require.EqualValues(t, 2, st.Progress)
	})
}
