package etcdwatch

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWatch_TellsWhatHappens(t *testing.T) {
	stream := answering(2,
		created(40),
		put(header(41), "a", "x", 41),
		created(41),
		removed(header(42), "a", 42),
		put(removed(put(header(45), "b", "y", 43), "b", 44), "b", "z", 45),
	).watch(t, "a", "b")
	require.Equal(t, Update{Header: at(41), Events: []Event{{Key: "a", Value: []byte("x"), Revision: 41}}}, next(t, stream))
	require.Equal(t, Update{Header: at(41), Begun: true}, next(t, stream))
	require.Equal(t, Update{Header: at(42), Events: []Event{{Key: "a", Deleted: true, Revision: 42}}}, next(t, stream))
	require.Equal(t, Update{Header: at(45), Events: []Event{
		{Key: "b", Value: []byte("y"), Revision: 43},
		{Key: "b", Deleted: true, Revision: 44},
		{Key: "b", Value: []byte("z"), Revision: 45},
	}}, next(t, stream))
	require.ErrorIs(t, requireEnd(t, stream), ErrEnded)
}

func TestWatch_BeginsAfterTheSnapshot(t *testing.T) {
	requests := make(chan []byte, 2)
	server := &etcd{onWatch: func(s grpc.ServerStream) error {
		for range 2 {
			var request []byte
			if err := s.RecvMsg(&request); err != nil {
				return err
			}
			requests <- request
		}
		return nil
	}}
	stream := server.watch(t, "a", "bc")
	require.ErrorIs(t, requireEnd(t, stream), ErrEnded)
	require.Equal(t, []byte("\x0a\x05\x0a\x01a\x18\x29"), <-requests) // create{key "a", start 41}
	require.Equal(t, []byte("\x0a\x06\x0a\x02bc\x18\x29"), <-requests)
}

func TestWatch_Progress(t *testing.T) {
	server := &etcd{onWatch: func(s grpc.ServerStream) error {
		if err := errors.Join(receive(s, 1), send(s, created(40))); err != nil {
			return err
		}
		var request []byte
		if err := s.RecvMsg(&request); err != nil {
			return err
		}
		if string(request) != "\x1a\x00" {
			return status.Errorf(codes.InvalidArgument, "%x", request)
		}
		nobody := ^uint64(0) // watch_id -1: all of the stream
		return errors.Join(send(s, number(header(41), 2, nobody)), receive(s, 1))
	}}
	stream := server.watch(t, "a")
	begun := next(t, stream)
	require.False(t, begun.Progress())
	require.NoError(t, stream.Progress())
	progress := next(t, stream)
	require.True(t, progress.Progress())
	require.Equal(t, Update{Header: at(41)}, progress)
	require.NoError(t, stream.Progress()) // the server ends then
	require.ErrorIs(t, requireEnd(t, stream), ErrEnded)
	require.ErrorIs(t, stream.Progress(), context.Canceled)
}

// A list that is sent in pieces is several lists.
func TestWatch_Fragments(t *testing.T) {
	const fragment = 7
	stream := answering(1, created(40),
		put(number(header(44), fragment, 1), "a", "x", 41),
		number(removed(header(44), "a", 42), fragment, 1),
		put(header(44), "a", "y", 44),
	).watch(t, "a")
	next(t, stream)
	for i, want := range []int64{41, 42, 44} {
		u := next(t, stream)
		require.Len(t, u.Events, 1)
		require.Equal(t, want, u.Events[0].Revision, i)
	}
}

func TestWatch_TellsNothingTwice(t *testing.T) {
	stream := answering(1, created(40),
		put(header(42), "a", "before the watch", 40),
		put(header(42), "a", "x", 42),
		removed(put(header(43), "a", "x", 42), "a", 43),
		put(header(43), "a", "late", 41),
		put(header(43), "a", "impossible", 1<<63), // negative
	).watch(t, "a")
	next(t, stream)
	require.Empty(t, next(t, stream).Events)
	require.Equal(t, []Event{{Key: "a", Value: []byte("x"), Revision: 42}}, next(t, stream).Events)
	require.Equal(t, []Event{{Key: "a", Deleted: true, Revision: 43}}, next(t, stream).Events)
	late := next(t, stream)
	require.True(t, late.Progress())
	require.Empty(t, next(t, stream).Events)
}

// etcd says that it watches before it finds that it cannot.
func TestWatch_Compacted(t *testing.T) {
	compacted := number(header(0), watchCompact, 85)
	for _, answer := range [][]byte{number(compacted, watchCancel, 1), compacted} {
		ended := make(chan struct{})
		server := &etcd{onWatch: func(s grpc.ServerStream) error {
			err := errors.Join(receive(s, 1), send(s, created(90), answer))
			<-s.Context().Done() // etcd leaves the stream open
			close(ended)
			return err
		}}
		stream := server.watch(t, "a")
		require.True(t, next(t, stream).Begun)
		err := requireEnd(t, stream)
		require.ErrorIs(t, err, ErrCompacted)
		require.Equal(t, &CanceledError{CompactRevision: 85}, err)
		<-ended
	}
}

func TestWatch_Refused(t *testing.T) {
	reason := "etcdserver: permission denied" + strings.Repeat(".", 1000)
	stream := answering(2, created(40), text(number(created(40), watchCancel, 1), watchReason, reason)).watch(t, "a", "b")
	err := requireEnd(t, stream)
	var canceled *CanceledError
	require.ErrorAs(t, err, &canceled)
	require.Equal(t, reason[:maxReason], canceled.Reason)
	require.NotErrorIs(t, err, ErrCompacted)
}

func TestWatch_Malformed(t *testing.T) {
	for name, message := range map[string][]byte{
		"no protobuf":           {0xff, 0xff},
		"truncated":             header(41)[:5],
		"truncated header":      text(nil, responseHeader, "\x08"),
		"truncated event":       text(header(41), watchEvents, "\x12\x05\x0a"),
		"truncated key":         text(header(41), watchEvents, "\x12\x02\x0a\x05"),
		"key nobody watches":    put(header(41), "aa", "x", 41),
		"event without a key":   text(header(41), watchEvents, ""),
		"event of unknown type": text(header(41), watchEvents, string(number(text(nil, eventKV, kv("a", "x", 41)), eventType, 2))),
		"one watch too many":    created(41),
		"end of no group":       {0x0c},
		"group without an end":  {0x0b, 0x08, 0x01},
		"overlong varint":       []byte("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
	} {
		t.Run(name, func(t *testing.T) {
			stream := answering(1, created(40), message).watch(t, "a")
			next(t, stream)
			require.ErrorIs(t, requireEnd(t, stream), ErrMalformed)
		})
	}
}

func TestWatch_AnotherMember(t *testing.T) {
	stream := answering(1, created(40), put(headerOf(8, 41), "a", "x", 41)).watch(t, "a")
	next(t, stream)
	require.ErrorIs(t, requireEnd(t, stream), ErrAnotherMember)
}

func TestWatch_TooLarge(t *testing.T) {
	stream := answering(1, created(40), put(header(41), "a", strings.Repeat("x", maxMessage), 41)).watch(t, "a")
	next(t, stream)
	require.Equal(t, codes.ResourceExhausted, status.Code(requireEnd(t, stream)))
}

func TestWatch_ServerFails(t *testing.T) {
	server := &etcd{onWatch: func(grpc.ServerStream) error { return status.Error(codes.Unimplemented, "no etcd") }}
	require.Equal(t, codes.Unimplemented, status.Code(requireEnd(t, server.watch(t, "a"))))
}

// silent answers nothing while the watch lasts.
func silent() *etcd {
	return &etcd{onWatch: func(s grpc.ServerStream) error {
		<-s.Context().Done()
		return nil
	}}
}

func TestWatch_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := Watch(ctx, silent().serve(t), snapshot("a"))
	require.NoError(t, err)
	go cancel()
	require.ErrorIs(t, requireEnd(t, stream), context.Canceled)

	_, err = Watch(ctx, silent().serve(t), snapshot("a"))
	require.ErrorIs(t, err, context.Canceled)
}

func TestWatch_CloseEndsIt(t *testing.T) {
	stream := silent().watch(t, "a")
	go stream.Close()
	require.ErrorIs(t, requireEnd(t, stream), context.Canceled)
	stream.Close()
}

func TestWatch_NeedsASnapshot(t *testing.T) {
	conn := silent().serve(t)
	for _, now := range []Snapshot{{}, snapshot(), snapshot("a", "a"), {Events: snapshot("a").Events}} {
		_, err := Watch(t.Context(), conn, now)
		require.ErrorIs(t, err, errNotRange)
	}
}
