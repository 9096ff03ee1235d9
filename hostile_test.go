package tso

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/tsotest"
)

// hostileReplies are what a server may do to one request. None may reach a
// caller, end the process, or cost a later call its timestamp.
var hostileReplies = map[string]tsotest.Reply{
	"malformed message":             {Raw: []byte{0x0a, 0xff}},
	"bytes that are no protobuf":    {Raw: bytes.Repeat([]byte{0xff}, 64)},
	"message over the limit":        {Raw: make([]byte, maxAnswer+1)},
	"no message at all":             {Raw: []byte{}},
	"count too small":               edit(func(r *pdpb.TsoResponse) { r.Count-- }),
	"count too large":               edit(func(r *pdpb.TsoResponse) { r.Count++ }),
	"no timestamp":                  edit(func(r *pdpb.TsoResponse) { r.Timestamp = nil }),
	"zero timestamp":                edit(func(r *pdpb.TsoResponse) { *r.Timestamp = pdpb.Timestamp{} }),
	"negative physical":             edit(func(r *pdpb.TsoResponse) { r.Timestamp.Physical = -5 }),
	"physical of the far future":    edit(func(r *pdpb.TsoResponse) { r.Timestamp.Physical = 1 << 46 }),
	"negative logical":              edit(func(r *pdpb.TsoResponse) { r.Timestamp.Logical = -1 }),
	"logical smaller than count":    edit(func(r *pdpb.TsoResponse) { r.Timestamp.Logical = int64(r.Count) - 2 }),
	"logical overflown":             edit(func(r *pdpb.TsoResponse) { r.Timestamp.Logical = 1 << 18 }),
	"suffix bits out of range":      edit(func(r *pdpb.TsoResponse) { r.Timestamp.SuffixBits = 5 }),
	"header error":                  {Edit: tsotest.HeaderError("[PD:tso:ErrGenerateTimestamp]generate timestamp failed")},
	"header error with a timestamp": edit(func(r *pdpb.TsoResponse) { r.Header.Error = &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "no"} }),
	"answer of another cluster":     edit(func(r *pdpb.TsoResponse) { r.Header.ClusterId++ }),
	"timestamps of before":          edit(func(r *pdpb.TsoResponse) { r.Timestamp.Physical -= 3_600_000 }),
	"extra answer":                  {Extra: 1},
	"end of the stream":             {Err: io.EOF},
	"internal error":                {Err: status.Error(codes.Internal, "stream terminated by RST_STREAM")},
	"unavailable":                   {Err: status.Error(codes.Unavailable, "transport is closing")},
	"not leader":                    {Err: tsotest.ErrNotLeader("global")},
	"leader lost":                   {Err: tsotest.ErrLeaderLost()},
	"leader lost, of old":           {Err: tsotest.ErrLeaderLostV5()},
	"not initialized":               {Err: tsotest.ErrNotInitialized()},
	"not started":                   {Err: tsotest.ErrNotStarted()},
	"not started, of old":           {Err: tsotest.ErrNotStartedV5()},
	"limit of streams":              {Err: status.Error(codes.ResourceExhausted, "max count of TSO proxy routines exceeded")},
}

func edit(f func(*pdpb.TsoResponse)) tsotest.Reply { return tsotest.Reply{Edit: f} }

func TestOneHostileReplyCostsNoCall(t *testing.T) {
	for name, reply := range hostileReplies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tsotest.New(t)
			c := newTestClient(t, s)
			for range 20 {
				requireGetTS(t, c)
			}
			stop := load(t, c, 8)
			for range 3 {
				var done atomic.Bool
				s.Script(func(tsotest.Request) tsotest.Reply {
					if done.CompareAndSwap(false, true) {
						return reply
					}
					return tsotest.Reply{}
				})
				for !done.Load() {
					requireGetTS(t, c)
				}
				for range 20 {
					requireGetTS(t, c)
				}
			}
			stop()
		})
	}
}

// A hostile server that never stops: calls end with a typed error or with their
// budget, streams stay rare, and the first sane answer ends it all.
func TestHostileReplyForEver(t *testing.T) {
	for name, want := range map[string]error{
		"malformed message":         ErrBudgetSpent,
		"no timestamp":              ErrBadResponse,
		"count too large":           ErrBadResponse,
		"timestamps of before":      ErrTimestampFallback,
		"end of the stream":         ErrBudgetSpent,
		"internal error":            ErrBudgetSpent,
		"not leader":                ErrBudgetSpent,
		"answer of another cluster": ErrBudgetSpent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tsotest.New(t)
			c := newTestClient(t, s, WithRequestBudget(1500*time.Millisecond))
			requireGetTS(t, c)
			s.Script(func(tsotest.Request) tsotest.Reply { return hostileReplies[name] })
			before := c.Stats()
			began := time.Now()
			_, _, err := c.GetTS(context.Background())
			require.ErrorIs(t, err, want)
			if took := time.Since(began); took > time.Second {
				after := c.Stats()
				require.Less(t, after.Streams-before.Streams, int64(60), "streams in %v", took)
				require.Less(t, after.MemberRequests-before.MemberRequests, int64(60), "GetMembers in %v", took)
			}
			s.Script(nil)
			requireGetTS(t, c)
		})
	}
}

func TestRefusedCredentialsAreFinal(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s)
	requireGetTS(t, c)
	s.Script(func(tsotest.Request) tsotest.Reply {
		return tsotest.Reply{Err: status.Error(codes.PermissionDenied, "certificate not allowed")}
	})
	began := time.Now()
	_, _, err := c.GetTS(context.Background())
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.Less(t, time.Since(began), 2*time.Second)
}

func TestUnsolicitedAnswersDoNotReachACaller(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s)
	requireGetTS(t, c)
	var left atomic.Int32
	left.Store(2) // three in a row would surface
	s.ScriptOpen(func(tsotest.Request) tsotest.Reply {
		if left.Add(-1) >= 0 {
			return tsotest.Reply{Extra: 1}
		}
		return tsotest.Reply{}
	})
	require.NoError(t, s.CloseStreams(0))
	requireGetTS(t, c)
	stop := load(t, c, 4)
	for range 50 {
		requireGetTS(t, c)
	}
	stop()
}

func TestFallbackHookIsCalled(t *testing.T) {
	s := tsotest.New(t)
	events := make(chan FallbackEvent, 100)
	c := newTestClient(t, s, WithFallbackHook(func(e FallbackEvent) { events <- e }))
	ts := requireGetTS(t, c)
	var done atomic.Bool
	s.Script(func(tsotest.Request) tsotest.Reply {
		if done.CompareAndSwap(false, true) {
			return hostileReplies["timestamps of before"]
		}
		return tsotest.Reply{}
	})
	require.Greater(t, requireGetTS(t, c), ts)
	e := <-events
	require.Equal(t, ts, e.Highest)
	require.Less(t, e.Granted, ts)
	require.Equal(t, s.URL(0), e.URL)
	require.EqualValues(t, 1, c.Stats().Fallbacks)
}
