package tsotest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestSynctest_AnHour: a request a second for an hour, over 300 ms of latency,
// takes as long as its 3,600 round trips take in memory.
func TestSynctest_AnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(t, WithBufconn(), WithMembers(3))
		require.NoError(t, s.SetLatency(300*time.Millisecond))
		ctx, cancel := context.WithCancel(context.Background())
		st := openOn(ctx, cancel, t, s, connect(t, s, 0))
		defer cancel()
		start := time.Now()
		var last uint64
		for range 3600 {
			ts := st.get("", 2)
			require.Greater(t, ts[0], last)
			last = ts[1]
			time.Sleep(700 * time.Millisecond)
		}
		require.Equal(t, time.Hour, time.Since(start))
		require.EqualValues(t, time.Now().Add(-time.Second).UnixMilli(), last>>logicalBits)
	})
}

// TestSynctest_FaultsDoNotStopTheClock: everything that makes a client wait, and
// a clock that reaches the client's deadline nevertheless.
func TestSynctest_FaultsDoNotStopTheClock(t *testing.T) {
	for name, fault := range map[string]func(*Server) error{
		"hold":    func(s *Server) error { return s.Hold(0) },
		"cut":     func(s *Server) error { return s.CutPath(0) },
		"silence": func(s *Server) error { return s.SilenceConns(0) },
		"script": func(s *Server) error {
			s.Script(func(Request) Reply { return Reply{Hold: true} })
			return nil
		},
		"slow": func(s *Server) error { return s.SetLatency(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(t, WithBufconn(), WithMembers(2))
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
				defer cancel()
				st := openOn(ctx, cancel, t, s, connect(t, s, 0))
				st.get("", 1)
				require.NoError(t, fault(s))
				start := time.Now()
				err := st.fails("")
				require.Equal(t, codes.DeadlineExceeded, status.Code(err))
				require.Equal(t, 20*time.Minute, time.Since(start).Round(time.Second))
			})
		})
	}
}

func TestSynctest_StopStartMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(t, WithBufconn(), WithMembers(2))
		conn := connect(t, s, 0)
		for range 10 {
			require.NoError(t, s.StopMember(0))
			time.Sleep(time.Minute)
			require.NoError(t, s.StartMember(0))
			time.Sleep(5 * time.Minute)
			resp, err := pdpb.NewPDClient(conn).GetMembers(t.Context(), &pdpb.GetMembersRequest{})
			require.NoError(t, err)
			require.Len(t, resp.Members, 2)
		}
	})
}
