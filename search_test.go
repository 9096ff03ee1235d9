package tso

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var errNotLeader = status.Error(codes.Unknown, "requested pd is not leader of cluster")

// election is an environment in which pd-1 leads no more, and pd-2 is about to, which
// says so until it serves.
func election(serves time.Duration) (e *fakeEnv, asked *atomic.Int64) {
	e, asked = newFakeEnv(nil), new(atomic.Int64)
	began := time.Now()
	e.members = func() []string { return []string{"pd-1", "pd-2", "pd-3"} }
	e.candidate = func() string { return "pd-2" }
	e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
		s := newFakeStream(r.via)
		if r.via == "pd-2" {
			asked.Add(1)
			if time.Since(began) >= serves {
				return e.stream(ctx, newEchoStream(r.via, &e.oracle))
			}
		}
		s.answers <- fakeAnswer{err: errNotLeader}
		return e.stream(ctx, s)
	}
	return e, asked
}

// Callers wait little longer than PD takes to elect.
func TestWhoIsAboutToBeElectedIsAskedOften(t *testing.T) {
	for serves := 20 * time.Millisecond; serves < 2*time.Second; serves = serves*3/2 + time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			e, _ := election(serves)
			began := time.Now()
			_, _, err := pushNew(t, startLane(t, e), context.Background()).Wait()
			require.NoError(t, err)
			require.Less(t, time.Since(began)-serves, 20*time.Millisecond)
		})
	}
}

func TestWhoIsNotElectedForLongIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = time.Minute
		e, asked := election(long)
		e.budget = 2 * long
		began := time.Now()
		_, _, err := pushNew(t, startLane(t, e), context.Background()).Wait()
		require.NoError(t, err)
		require.Less(t, time.Since(began)-long, rescuePause)
		require.InEpsilon(t, likelyRate.burst+int(long/likelyRate.interval), asked.Load(), 0.1)
	})
}

// A leader that goes is replaced at once. Of the members that pass requests on to it none
// says a word, and none of them is suspected of being out of reach.
func TestSpreadStreamThatIsSilentIsDoubtedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(string) bool { return false })
		old := e.open
		var moved atomic.Bool
		e.open = func(ctx context.Context, dc string, r route) (tsoStream, error) {
			switch {
			case moved.Load() && r == direct("pd-2"):
				return e.stream(ctx, newEchoStream(r.via, &e.oracle))
			case moved.Load():
				return nil, errNotLeader
			}
			s, err := old(ctx, dc, r)
			return &mutable{tsoStream: s, muted: &moved}, err
		}
		var dialed atomic.Int64
		e.fresh = func(context.Context, string, route) (tsoStream, connection, error) {
			dialed.Add(1)
			return nil, nil, errors.New("nobody there")
		}
		l := startLane(t, e)
		synctest.Wait()
		require.Len(t, over(l), 3)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)

		moved.Store(true)
		began := time.Now()
		_, _, err = pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.Less(t, time.Since(began), 2*relayPatience)
		require.Zero(t, dialed.Load())
	})
}

// mutable is a stream that takes requests and does not answer them while it is muted.
type mutable struct {
	tsoStream
	muted *atomic.Bool
}

func (m *mutable) Send(count uint32) error {
	if m.muted.Load() {
		return nil
	}
	return m.tsoStream.Send(count)
}
