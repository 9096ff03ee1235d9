package tsotest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/etcdwatch"
)

// A member that goes on answers what it was asked, and then tells what it has missed.
func TestWatch_Frozen(t *testing.T) {
	for name, fault := range map[string]struct{ hold, release func(*Server, ...int) error }{
		"watches": {(*Server).HoldWatches, (*Server).ReleaseWatches},
		"member":  {(*Server).Hold, (*Server).Release},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *Server) {
				w, other := watchAt(t, s, 1), watchAt(t, s, 2)
				require.NoError(t, fault.hold(s, 1))
				require.NoError(t, s.MoveLeader(2))
				require.NoError(t, w.Progress())
				conn := connect(t, s, 1)
				ranged := make(chan etcdwatch.Snapshot, 1)
				go func() { ranged <- rangeWithin(t, 2*time.Hour, conn, s) }()
				late := watchFrom(t, conn, w.now)
				w.silent(time.Hour)
				late.silent(0)
				require.Empty(t, ranged)
				other.tells("", "pd-2")

				require.NoError(t, fault.release(s, 1))
				require.Equal(t, w.now.Header, w.next().Header, "progress, as of then")
				w.tells("", "pd-2")
				require.Equal(t, "pd-2", nameOf(t, (<-ranged).Events[0]))
				require.True(t, late.next().Begun)
				w.silent(time.Hour)
			})
		})
	}
}

func rangeWithin(t *testing.T, d time.Duration, conn *grpc.ClientConn, s *Server) etcdwatch.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	now, err := etcdwatch.Range(ctx, conn, []string{leaderKey(s.ClusterID())})
	if err != nil {
		t.Error(err)
	}
	return now
}

// A member that is frozen for watches grants timestamps, and its streams can be ended.
func TestWatch_HeldAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		w := watchAt(t, s, 0)
		require.NoError(t, s.HoldWatches())
		openStream(t, s, 0).get("", 1)
		require.NoError(t, s.EndWatches())
		require.ErrorIs(t, w.ends(), etcdwatch.ErrEnded)
	})
}

func TestWatch_Behind(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		w := watchAt(t, s, 1)
		require.NoError(t, s.SetWatchBehind(true, 1))
		require.NoError(t, s.MoveLeader(2))
		require.NoError(t, s.CompactWatches()) // it does not know of that either
		w.silent(time.Hour)
		require.Equal(t, w.now.Header, w.asked().Header)
		again := watchAt(t, s, 1)
		require.Equal(t, w.now, again.now, "the old leader, revision and term")
		theirs := rangeAt(t, s, connect(t, s, 2))
		require.Equal(t, "pd-2", nameOf(t, theirs.Events[0]))
		require.Greater(t, theirs.Revision, w.now.Revision)
		require.Greater(t, theirs.Term, w.now.Term)

		require.NoError(t, s.SetWatchBehind(true, 1)) // again
		require.Equal(t, w.now.Header, w.asked().Header)
		require.NoError(t, s.SetWatchBehind(false, 1))
		w.tells("", "pd-2")
		again.tells("", "pd-2")
		require.Equal(t, theirs.Revision, w.asked().Revision)
	})
}

// A stop and a start do not bring a member up to date that is cut off, before or in between.
func TestWatch_BehindAcrossAStart(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		require.NoError(t, s.SetWatchBehind(true, 1))
		require.NoError(t, s.StopMember(2))
		s.DropLeader()
		require.NoError(t, s.SetWatchBehind(true, 2))
		require.NoError(t, s.StopMember(1))
		for i := 1; i < 3; i++ {
			require.NoError(t, s.StartMember(i))
			w := watchAt(t, s, i)
			require.Equal(t, "pd-0", nameOf(t, w.now.Events[0]))
			w.silent(time.Hour)
			require.NoError(t, s.SetWatchBehind(false, i))
			w.tells("")
		}
	})
}

func TestWatch_Late(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		w, other := watchAt(t, s, 1), watchAt(t, s, 2)
		const late = 5 * time.Second
		require.NoError(t, s.SetWatchDelay(late, 1))
		start := time.Now()
		s.DropLeader()
		other.tells("")
		require.True(t, rangeAt(t, s, connect(t, s, 1)).Events[0].Deleted, "a Range is not late")
		w.silent(time.Second)
		require.NoError(t, s.MoveLeader(2))
		require.NoError(t, w.Progress()) // no answer: there is something to be told
		w.silent(time.Second)
		caughtUp := watchFrom(t, connect(t, s, 1), w.now)
		require.True(t, caughtUp.next().Begun)
		w.tells("")
		require.Equal(t, late, time.Since(start))
		w.tells("pd-2")
		require.Equal(t, late+time.Second, time.Since(start))
		require.Len(t, caughtUp.next().Events, 2)
		require.Equal(t, late+2*time.Second, time.Since(start))
		require.Equal(t, w.now.Revision+2, w.asked().Revision)

		s.DropLeader()
		w.silent(time.Second)
		require.NoError(t, s.SetWatchDelay(0))
		w.tells("")
		require.Equal(t, late+3*time.Second, time.Since(start))
	})
}

// Latency is a longer way: it delays each answer, and they do not wait for each other.
func TestWatch_Latency(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		const latency = 300 * time.Millisecond
		require.NoError(t, s.SetLatency(latency, 1))
		start := time.Now()
		w := watchAt(t, s, 1)
		require.Equal(t, 2*latency, time.Since(start)) // Range, and the beginning
		s.DropLeader()
		time.Sleep(latency / 3)
		require.NoError(t, w.Progress())
		time.Sleep(latency / 3)
		require.NoError(t, s.MoveLeader(1))
		w.tells("")
		require.Equal(t, 3*latency, time.Since(start))
		require.Empty(t, w.next().Events)
		require.Equal(t, 3*latency+latency/3, time.Since(start))
		w.tells("pd-1")
		require.Equal(t, 3*latency+2*latency/3, time.Since(start))

		s.DropLeader()
		w.silent(latency / 2)
		require.NoError(t, s.HoldWatches()) // what is on its way has not left
		w.silent(time.Hour)
		require.NoError(t, s.ReleaseWatches())
		w.tells("")
	})
}

func TestWatch_Lies(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		var seen []WatchAnswer
		s.ScriptWatch(func(member int, a *WatchAnswer) error {
			if member == 1 {
				seen = append(seen, *a)
			}
			for i := range a.Events {
				a.Events[i].Value = []byte("a lie")
			}
			a.Term = 77
			return nil
		})
		w := watchAt(t, s, 1)
		require.EqualValues(t, 77, w.now.Term)
		require.Equal(t, "a lie", string(w.now.Events[0].Value))
		require.NoError(t, s.MoveLeader(2))
		w.next()
		require.Equal(t, "a lie", string(w.next().Events[0].Value))
		w.asked()
		s.ScriptWatch(nil)
		require.NoError(t, s.MoveLeader(0))
		w.tells("", "pd-0")
		require.Equal(t, "pd-0", nameOf(t, rangeAt(t, s, connect(t, s, 1)).Events[0]))

		require.Len(t, seen, 5)
		require.True(t, seen[0].Range)
		require.True(t, seen[1].Created)
		require.EqualValues(t, 1, seen[1].WatchID)
		require.True(t, seen[2].Events[0].Deleted)
		require.Equal(t, leaderKey(s.ClusterID()), seen[3].Events[0].Key)
		require.EqualValues(t, -1, seen[4].WatchID)
		require.Empty(t, seen[4].Events)
	})
}

// afterBegin has watches begin as ever, and f see all else.
func afterBegin(s *Server, f func(a *WatchAnswer) error) {
	s.ScriptWatch(func(_ int, a *WatchAnswer) error {
		if a.Range || a.Created {
			return nil
		}
		return f(a)
	})
}

func TestWatch_ScriptsOfSingleAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		afterBegin(s, func(a *WatchAnswer) error {
			a.Drop = len(a.Events) > 0 && a.Events[0].Deleted
			return nil
		})
		w := watchAt(t, s, 1)
		require.NoError(t, s.MoveLeader(2))
		w.tells("pd-2")

		afterBegin(s, func(a *WatchAnswer) error {
			a.Raw = []byte{0xff}
			return nil
		})
		require.NoError(t, w.Progress())
		require.ErrorIs(t, w.ends(), etcdwatch.ErrMalformed)

		w = watchAt(t, s, 1)
		afterBegin(s, func(a *WatchAnswer) error {
			a.Canceled, a.Reason = true, "no more"
			return nil
		})
		require.NoError(t, w.Progress())
		require.Equal(t, &etcdwatch.CanceledError{Reason: "no more"}, w.ends())

		w = watchAt(t, s, 1)
		s.ScriptWatch(func(int, *WatchAnswer) error { return ErrNotStarted() })
		s.DropLeader()
		require.EqualError(t, w.ends(), ErrNotStarted().Error())
		_, err := etcdwatch.Range(t.Context(), connect(t, s, 1), []string{"a"})
		require.EqualError(t, err, ErrNotStarted().Error())
	})
}

func TestWatch_Compacted(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		conn := connect(t, s, 1)
		w := watchAt(t, s, 1)
		require.NoError(t, s.MoveLeader(2))
		require.NoError(t, s.CompactWatches())
		w.tells("", "pd-2") // it had begun
		compacted := w.now.Revision + 2

		stale := watchFrom(t, conn, w.now)
		begun := stale.next()
		require.True(t, begun.Begun)
		require.Equal(t, compacted, begun.Revision)
		require.Equal(t, &etcdwatch.CanceledError{CompactRevision: compacted}, stale.ends())

		fine := w.now
		fine.Revision = compacted - 1
		kept := watchFrom(t, conn, fine)
		require.True(t, kept.next().Begun)
		kept.tells("pd-2")

		require.NoError(t, s.HoldWatches(1))
		asked := watchFrom(t, conn, fine) // before the compaction, and begun after it
		asked.silent(time.Second)
		s.DropLeader()
		require.NoError(t, s.CompactWatches())
		require.NoError(t, s.ReleaseWatches(1))
		require.Equal(t, compacted+1, asked.next().Revision)
		require.Equal(t, &etcdwatch.CanceledError{CompactRevision: compacted + 1}, asked.ends())
	})
}

// A canceled watch leaves the stream, and its other watches, alone.
func TestWatch_CompactedStreamGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		require.NoError(t, s.MoveLeader(1))
		require.NoError(t, s.CompactWatches())
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stream, err := connect(t, s, 1).NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			"/etcdserverpb.Watch/Watch", grpc.ForceCodecV2(newCodec()))
		require.NoError(t, err)
		for _, from := range []uint64{1, 0} {
			create := appendNumber(appendMessage(nil, fieldKey, []byte(leaderKey(s.ClusterID()))), fieldStartRevision, from)
			require.NoError(t, stream.SendMsg(rawMessage(appendMessage(nil, fieldCreate, create))))
		}
		receive := func() etcdwatch.WatchResponse {
			var b rawMessage
			require.NoError(t, stream.RecvMsg(&b))
			r, err := etcdwatch.DecodeWatch(b)
			require.NoError(t, err)
			return r
		}
		first, canceled, second := receive(), receive(), receive()
		require.True(t, first.Created)
		require.True(t, canceled.Canceled)
		require.Zero(t, canceled.Header.Revision)
		require.Equal(t, first.Header.Revision, canceled.CompactRevision)
		require.Empty(t, canceled.Reason)
		require.True(t, second.Created)
		s.DropLeader()
		gone := etcdwatch.KV{Key: []byte(leaderKey(s.ClusterID())), ModRevision: first.Header.Revision + 1}
		require.Equal(t, []etcdwatch.RawEvent{{Type: typeDelete, KV: gone}}, receive().Events)
		require.NoError(t, stream.CloseSend())
		require.ErrorContains(t, stream.RecvMsg(new(rawMessage)), "EOF")
	})
}

func TestWatch_RangeOfRevisions(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		conn := connect(t, s, 1)
		now := rangeAt(t, s, conn)
		require.NoError(t, s.MoveLeader(1))
		ask := func(revision int64) (string, error) {
			request := appendMessage(nil, fieldKey, []byte(leaderKey(s.ClusterID())))
			request = appendNumber(appendNumber(request, fieldRangeRevision, uint64(revision)), fieldRangeSerializable, 1)
			var b rawMessage
			err := conn.Invoke(context.Background(), rangeMethod, rawMessage(request), &b, grpc.ForceCodecV2(newCodec()))
			if err != nil {
				return "", err
			}
			r, err := etcdwatch.DecodeRange(b)
			require.NoError(t, err)
			require.Equal(t, now.Revision+2, r.Header.Revision)
			if len(r.KVs) == 0 {
				return "", nil
			}
			return nameOf(t, etcdwatch.Event{Value: r.KVs[0].Value}), nil
		}
		for revision, want := range map[int64]string{1: "", now.Revision: "pd-0", now.Revision + 1: "", now.Revision + 2: "pd-1", 0: "pd-1"} {
			got, err := ask(revision)
			require.NoError(t, err)
			require.Equal(t, want, got, revision)
		}
		_, err := ask(now.Revision + 3)
		require.EqualError(t, err, errFutureRevision.Error())
		require.NoError(t, s.CompactWatches())
		_, err = ask(now.Revision + 1)
		require.EqualError(t, err, errCompacted.Error())
	})
}

func TestWatch_Ended(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		w, other := watchAt(t, s, 1), watchAt(t, s, 2)
		require.NoError(t, s.EndWatches(1))
		require.ErrorIs(t, w.ends(), etcdwatch.ErrEnded)
		again := watchAt(t, s, 1)
		s.DropLeader()
		again.tells("")
		other.tells("")
	})
}

func TestWatch_Refused(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		w := watchAt(t, s, 1)
		refused := status.Error(codes.Unimplemented, "unknown service")
		require.NoError(t, s.RefuseWatches(refused, 1))
		conn := connect(t, s, 1)
		_, err := etcdwatch.Range(t.Context(), conn, []string{"a"})
		require.EqualError(t, err, refused.Error())
		require.EqualError(t, watchFrom(t, conn, w.now).ends(), refused.Error())
		watchAt(t, s, 2)
		s.DropLeader()
		w.tells("") // goes on
		require.NoError(t, s.RefuseWatches(nil))
		watchAt(t, s, 1)
	})
}

// Close waits for nobody who waits.
func TestWatch_Close(t *testing.T) {
	for name, fault := range map[string]func(*Server) error{
		"nothing": func(*Server) error { return nil },
		"hold":    func(s *Server) error { return s.Hold() },
		"watches": func(s *Server) error { return s.HoldWatches() },
		"late":    func(s *Server) error { return s.SetWatchDelay(time.Hour) },
		"slow":    func(s *Server) error { return s.SetLatency(time.Hour) },
		"cut":     func(s *Server) error { return s.CutPath(1) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *Server) {
				w := watchAt(t, s, 1)
				require.NoError(t, fault(s))
				s.DropLeader()
				require.NoError(t, w.Progress())
				conn := connect(t, s, 1)
				ranged := make(chan error, 1)
				go func() {
					_, err := etcdwatch.Range(context.Background(), conn, []string{leaderKey(s.ClusterID())})
					ranged <- err
				}()
				start := time.Now()
				time.Sleep(time.Second)
				s.Close()
				require.Equal(t, time.Second, time.Since(start))
				for range w.updates { // to its end
				}
				require.Equal(t, codes.Unavailable, status.Code(w.err))
				<-ranged
			})
		})
	}
}

func TestWatch_NoSuchMember(t *testing.T) {
	s := New(t, WithBufconn(), WithWatch())
	for _, err := range []error{
		s.HoldWatches(1), s.ReleaseWatches(-1), s.SetWatchBehind(true, 0, 1), s.SetWatchDelay(1, 1), s.RefuseWatches(errors.New(""), 1),
		s.EndWatches(1),
	} {
		require.ErrorContains(t, err, "there is no member")
	}
	watchAt(t, s, 0)
}

// Whatever is done to members at the same time, each watch is told every change once and in order.
func TestWatch_TellsAllInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server) {
		watches := []*watching{watchAt(t, s, 0), watchAt(t, s, 1), watchAt(t, s, 2)}
		some := func() time.Duration { return time.Duration(1 + rand.Int64N(int64(20*time.Millisecond))) }
		var busy sync.WaitGroup
		for _, fault := range []struct{ begin, end func(i int) error }{
			{func(i int) error { return s.HoldWatches(i) }, func(i int) error { return s.ReleaseWatches(i) }},
			{func(i int) error { return s.Hold(i) }, func(i int) error { return s.Release(i) }},
			{func(i int) error { return s.SetWatchBehind(true, i) }, func(i int) error { return s.SetWatchBehind(false, i) }},
			{func(i int) error { return s.SetWatchDelay(some(), i) }, func(i int) error { return s.SetWatchDelay(0, i) }},
			{func(i int) error { return s.SetLatency(some(), i) }, func(i int) error { return s.SetLatency(0, i) }},
			{func(int) error { return s.CompactWatches() }, func(i int) error { return s.RefuseWatches(nil, i) }},
		} {
			busy.Go(func() {
				for range 50 {
					i := rand.IntN(3)
					time.Sleep(some())
					err := fault.begin(i)
					time.Sleep(some())
					if err = errors.Join(err, fault.end(i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		first := watches[0].now.Revision
		const moves = 200
		for i := range moves {
			time.Sleep(some() / 2)
			require.NoError(t, s.MoveLeader((i+1)%3))
		}
		busy.Wait()
		for _, w := range watches {
			for told := first; told < first+2*moves; {
				for _, e := range w.next().Events {
					told++
					require.Equal(t, told, e.Revision)
				}
			}
			w.silent(0)
		}
	})
}
