package tsotest

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// second returns a script that treats the second request of a stream and
// answers all others.
func second(reply Reply) func(Request) Reply {
	return func(r Request) Reply {
		if r.N == 2 {
			return reply
		}
		return Reply{}
	}
}

// scripted returns a stream of a server with that script, after one answer.
func scripted(t *testing.T, script func(Request) Reply) *raw {
	s := New(t, WithBufconn())
	s.Script(script)
	st := openStream(t, s, 0)
	st.get("", 1)
	return st
}

func TestScript_ToldOfEachRequest(t *testing.T) {
	s := New(t, WithMembers(2), WithDCs("dc-1"), WithBufconn())
	var got []Request
	s.Script(func(r Request) Reply {
		got = append(got, r)
		return Reply{}
	})
	openStream(t, s, 0).get("", 3)
	st := openStream(t, s, 1, s.URL(0))
	st.get("dc-1", 4)
	st.get("global", 5)
	s.Script(nil)
	st.get("global", 6)
	require.Equal(t, []Request{
		{Member: 0, Stream: 1, N: 1, Total: 1, Count: 3},
		{Member: 1, Stream: 2, N: 1, Total: 2, Count: 4, DC: "dc-1", Forwarded: s.URL(0)},
		{Member: 1, Stream: 2, N: 2, Total: 3, Count: 5, DC: "global", Forwarded: s.URL(0)},
	}, got)
}

func TestScript_Delay(t *testing.T) {
	st := scripted(t, second(Reply{Delay: 50 * time.Millisecond}))
	start := time.Now()
	st.ask("", 2)
	st.ask("", 3) // not delayed itself, but first in, first out
	for _, want := range []uint32{2, 3} {
		resp, err := st.Recv()
		require.NoError(t, err)
		require.Equal(t, want, resp.Count)
		require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
	}
}

// TestScript_DelaysOverlap: a delay is a longer cable, not a slower server.
func TestScript_DelaysOverlap(t *testing.T) {
	st := scripted(t, func(Request) Reply { return Reply{Delay: 50 * time.Millisecond} })
	start := time.Now()
	for range 40 {
		st.ask("", 1)
	}
	for range 40 {
		_, err := st.Recv()
		require.NoError(t, err)
	}
	require.Less(t, time.Since(start), time.Second)
}

func TestScript_HoldUntilRelease(t *testing.T) {
	st := scripted(t, second(Reply{Hold: true}))
	st.ask("", 2)
	st.ask("", 3)
	got := make(chan uint32)
	go func() {
		for range 2 {
			resp, err := st.Recv()
			if err != nil {
				t.Error(err)
			}
			got <- resp.GetCount()
		}
	}()
	select {
	case <-got:
		t.Error("answered while held")
	case <-time.After(30 * time.Millisecond):
	}
	require.NoError(t, st.s.Release())
	require.EqualValues(t, 2, <-got)
	require.EqualValues(t, 3, <-got)
	st.get("", 1)
}

func TestScript_HeldStreamEndsWithItsClient(t *testing.T) {
	st := scripted(t, second(Reply{Hold: true}))
	st.ask("", 1)
	st.cancel()
	require.Eventually(t, func() bool { return st.s.Stats().Members[0].OpenStreams == 0 }, patience, time.Millisecond)
}

func TestScript_Drop(t *testing.T) {
	st := scripted(t, second(Reply{Drop: true}))
	st.ask("", 2)
	st.get("", 3) // gets its own answer: the one of 2 never comes
}

func TestScript_Err(t *testing.T) {
	for _, want := range []error{
		ErrNotLeader(""), ErrNotLeader("dc-1"), ErrLeaderLost(), ErrLeaderLostV5(), ErrNotInitialized(),
		ErrNotStarted(), ErrNotStartedV5(), ErrMismatchedCluster(1, 2), status.Error(codes.ResourceExhausted, "x"),
	} {
		st := scripted(t, second(Reply{Err: want}))
		err := st.fails("")
		require.Equal(t, status.Code(want), status.Code(err))
		require.Equal(t, status.Convert(want).Message(), status.Convert(err).Message())
	}
}

func TestScript_ErrAfterDelayFollowsTheAnswersBefore(t *testing.T) {
	s := New(t, WithBufconn())
	s.Script(func(r Request) Reply {
		if r.N == 4 {
			return Reply{Delay: 20 * time.Millisecond, Err: io.EOF}
		}
		return Reply{Delay: time.Millisecond}
	})
	st := openStream(t, s, 0)
	for range 4 {
		st.ask("", 1)
	}
	for range 3 {
		_, err := st.Recv()
		require.NoError(t, err)
	}
	_, err := st.Recv()
	require.Equal(t, io.EOF, err, "the end without an error")
}

func TestScript_HeaderError(t *testing.T) {
	st := scripted(t, second(Reply{Edit: HeaderError("group is not served")}))
	st.ask("", 2)
	resp, err := st.Recv()
	require.NoError(t, err)
	require.Equal(t, "group is not served", resp.Header.Error.Message)
	require.Nil(t, resp.Timestamp)
	require.Len(t, st.get("", 2), 2, "the next answer is whole again")
}

func TestScript_Edit(t *testing.T) {
	st := scripted(t, second(Reply{Edit: func(resp *pdpb.TsoResponse) {
		resp.Header.Error = &pdpb.Error{Message: "but with a timestamp"}
		resp.Timestamp.Physical -= 10_000
		resp.Timestamp.SuffixBits = 5
		resp.Count++
	}}))
	st.ask("", 2)
	resp, err := st.Recv()
	require.NoError(t, err)
	require.EqualValues(t, 3, resp.Count)
	require.EqualValues(t, 5, resp.Timestamp.SuffixBits)
	require.Less(t, resp.Timestamp.Physical, time.Now().UnixMilli()-5_000)
	st.get("", 1)
}

func TestScript_RawMalformed(t *testing.T) {
	st := scripted(t, second(Reply{Raw: []byte{0xff, 0xff, 0xff}}))
	require.Equal(t, codes.Internal, status.Code(st.fails("")))
}

func TestScript_RawWithUnknownField(t *testing.T) {
	want := &pdpb.TsoResponse{Count: 1, Timestamp: &pdpb.Timestamp{Physical: 5, Logical: 6}}
	wire, err := want.Marshal()
	require.NoError(t, err)
	st := scripted(t, second(Reply{Raw: append(wire, 15<<3, 1)}))
	require.Equal(t, []uint64{5<<logicalBits + 6}, st.get("", 1))
}

func TestScript_RawTooLarge(t *testing.T) {
	st := scripted(t, second(Reply{Raw: make([]byte, 5<<20)}))
	require.Equal(t, codes.ResourceExhausted, status.Code(st.fails("")))
}

func TestScript_RawEmptyIsAnEmptyMessage(t *testing.T) {
	st := scripted(t, second(Reply{Raw: []byte{}}))
	st.ask("", 1)
	resp, err := st.Recv()
	require.NoError(t, err)
	require.Nil(t, resp.Timestamp)
}

func TestScript_Extra(t *testing.T) {
	st := scripted(t, second(Reply{Extra: 2}))
	st.ask("", 2)
	first, err := st.Recv()
	require.NoError(t, err)
	for range 2 {
		again, err := st.Recv()
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
	st.get("", 3)
}

func TestScript_MayControlTheServer(t *testing.T) {
	s := New(t, WithMembers(2), WithBufconn())
	s.Script(func(r Request) Reply {
		if r.N == 3 {
			if err := errors.Join(s.MoveLeader(1), s.StopMember(0)); err != nil {
				t.Error(err)
			}
		}
		return Reply{}
	})
	st := openStream(t, s, 0)
	st.get("", 1)
	st.get("", 1)
	st.fails("")
	openStream(t, s, 1).get("", 1)
}

func TestScriptOpen(t *testing.T) {
	s := New(t, WithBufconn())
	replies := map[uint64]Reply{
		1: {Extra: 2},
		2: {Raw: []byte{8}},
		3: {Err: status.Error(codes.ResourceExhausted, "too many")},
		4: {Delay: 20 * time.Millisecond},
	}
	s.ScriptOpen(func(r Request) Reply {
		if r.N != 0 || r.Total != 0 {
			t.Error("not an opening:", r)
		}
		return replies[r.Stream]
	})
	st := openStream(t, s, 0)
	unasked, err := st.Recv()
	require.NoError(t, err)
	require.EqualValues(t, 1, unasked.Count)
	_, err = st.Recv()
	require.NoError(t, err)
	require.Greater(t, st.get("", 1)[0], expand(unasked)[0])

	_, err = openStream(t, s, 0).Recv()
	require.Equal(t, codes.Internal, status.Code(err))
	_, err = openStream(t, s, 0).Recv()
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	start := time.Now()
	openStream(t, s, 0).get("", 1)
	require.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond)
	openStream(t, s, 0).get("", 1)
}

func TestScriptMembers(t *testing.T) {
	s := New(t, WithMembers(2), WithBufconn())
	s.ScriptMembers(func(member int, resp *pdpb.GetMembersResponse) error {
		if member == 0 {
			return ErrNotStarted()
		}
		resp.Leader = nil
		return nil
	})
	ask := func(i int) (*pdpb.GetMembersResponse, error) {
		return pdpb.NewPDClient(connect(t, s, i)).GetMembers(t.Context(), &pdpb.GetMembersRequest{})
	}
	_, err := ask(0)
	require.Equal(t, codes.Unavailable, status.Code(err))
	resp, err := ask(1)
	require.NoError(t, err)
	require.Nil(t, resp.Leader)
	s.ScriptMembers(nil)
	resp, err = ask(0)
	require.NoError(t, err)
	require.NotNil(t, resp.Leader)
}
