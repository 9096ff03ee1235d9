// Package etcdwatch watches keys of the etcd that PD's members serve on their client URLs, over a
// gRPC connection that there is already.
//
//	now, err := etcdwatch.Range(ctx, conn, keys)  // what the keys hold
//	stream, err := etcdwatch.Watch(ctx, conn, now) // and what happens to them from then on
//	defer stream.Close()
//	for {
//		update, err := stream.Next()
//		...
//	}
//
// A watch tells what one member knows, and nothing more. A member without a quorum, or cut off
// from the others, is silent, answers [Stream.Progress] and a Range from its own state, and names
// who led before; one that is frozen tells everything when it goes on. What betrays a member that
// is behind is a term, or a revision, below another's.
//
// A stream that has ended is not resumed. A Range costs one RPC a key, and tells all that there is
// to know; so nothing rests on revisions that etcd still has, or that another member has got to:
// a watch from a revision to come is accepted by etcd, and silent until then.
//
// The messages are written and read by hand, over the reader of protobuf's encoding that gRPC
// links. etcd's own module would be two modules, five lines of go.sum and five packages more, and
// it registers its messages under the names of the etcd that PD's server has until 2024: a program
// that links both, as tests of TiDB do, ends with a panic before main.
package etcdwatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
)

const (
	rangeMethod = "/etcdserverpb.KV/Range"
	watchMethod = "/etcdserverpb.Watch/Watch"

	// maxMessage bounds what one answer may hold. A value is a pdpb.Member, of some hundred bytes;
	// several events come in one answer only where a watch catches up with what has happened since
	// its Range. etcd fragments at 1.5 MiB, so there is no use in asking it to.
	maxMessage = 64 << 10
	// maxReason bounds what is kept of a server's text.
	maxReason = 256
)

// Header is what a member says of itself with each answer.
type Header struct {
	ClusterID uint64 // etcd's, which is not PD's
	MemberID  uint64 // the member_id of PD's lists
	Revision  int64  // that the member has got to; 0 where it refuses
	Term      uint64 // raft's
}

// Event is a change of one key, or in the result of Range what it holds.
type Event struct {
	Key      string
	Value    []byte
	Deleted  bool  // the key does not exist
	Revision int64 // of the change; 0 for a key that Range has not found
}

// Snapshot is what keys held at one revision.
type Snapshot struct {
	Header
	Events []Event // one for each key, in the order of keys
}

// Update is one answer of a watch. One without events, and with which nothing has begun, is
// progress: all that has happened up to its revision has been told. (etcd before 3.4.25 may be
// ahead of its events there.)
type Update struct {
	Header
	Begun  bool // once: from now on all keys are watched
	Events []Event
}

// Progress reports whether the update says nothing but how far the member has got.
func (u *Update) Progress() bool { return !u.Begun && len(u.Events) == 0 }

// Stream is a watch of the keys of a Snapshot. Next: one goroutine at a time. Progress: another
// one at a time. Close: anybody. It has no goroutine of its own, and gRPC's end with the context
// that it was made with, with Close, and with the first error of Next.
type Stream struct {
	ctx    context.Context
	end    context.CancelFunc
	stream grpc.ClientStream

	// Next's alone.
	from    Header           // of the Snapshot: who has to answer
	told    map[string]int64 // by key: the last change that has been told
	pending int              // keys that the member has not said it watches
	err     error            // why the stream has ended
}

// Watch begins to watch the keys of now, at the member that has told it, for what has happened
// since. It does not wait for the member; what is wrong Next tells. It blocks while conn is
// connecting.
func Watch(ctx context.Context, conn grpc.ClientConnInterface, now Snapshot) (*Stream, error) {
	s := &Stream{from: now.Header, told: make(map[string]int64, len(now.Events)), pending: len(now.Events)}
	for _, e := range now.Events {
		s.told[e.Key] = now.Revision
	}
	if now.Revision <= 0 || len(s.told) != len(now.Events) || s.pending == 0 {
		return nil, errNotRange
	}
	s.ctx, s.end = context.WithCancel(ctx)
	var err error
	s.stream, err = conn.NewStream(s.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, watchMethod, options()...)
	if err == nil {
		s.stream.Context() // ends gRPC's right to begin anew, with whatever member that would be
	}
	for i := 0; err == nil && i < len(now.Events); i++ {
		err = s.send(appendCreate(nil, now.Events[i].Key, now.Revision+1))
	}
	if err != nil && !errors.Is(err, io.EOF) { // which says that Next will tell
		err = explain(ctx, err)
		s.end()
		return nil, err
	}
	return s, nil
}

func options() []grpc.CallOption {
	return []grpc.CallOption{grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(maxMessage)}
}

func (s *Stream) send(message []byte) error { return s.stream.SendMsg(&message) }

// Progress asks the member how far it has got. The answer is an Update; it tells that the member
// and the way to it are alive, and not that the member is up to date. etcd gives none while it
// brings a watch up to date, some 100 ms, so questions and answers cannot be counted. It does not
// block while some thousand questions are not on their way yet. ErrEnded says that the stream has
// ended; Next knows why.
func (s *Stream) Progress() error {
	err := s.send(appendProgress(nil))
	if err != nil {
		return explain(s.ctx, err)
	}
	return nil
}

// Close ends the stream. Next returns an error that Is context.Canceled, unless there was another.
func (s *Stream) Close() { s.end() }

// Next waits for what the member says next. After an error it returns that error: one of gRPC's
// with a status, the context's, ErrEnded, ErrMalformed, ErrAnotherMember or a *CanceledError.
func (s *Stream) Next() (Update, error) {
	for s.err == nil {
		u, tell, err := s.receive()
		if err != nil {
			s.err = err
			s.end()
		} else if tell {
			return u, nil
		}
	}
	return Update{}, s.err
}

// receive reads one answer. It is not told if it is about one key of several that begin.
func (s *Stream) receive() (u Update, tell bool, err error) {
	var message []byte
	if err := s.stream.RecvMsg(&message); err != nil {
		return u, false, explain(s.ctx, err)
	}
	r, err := DecodeWatch(message)
	if err != nil {
		return u, false, err
	}
	if err := r.refused(); err != nil {
		return u, false, err
	}
	if err := s.from.sameMember(r.Header); err != nil {
		return u, false, err
	}
	u.Header = r.Header
	if r.Created {
		if s.pending == 0 {
			return u, false, fmt.Errorf("%w: more watches than there are keys", ErrMalformed)
		}
		s.pending--
		u.Begun = s.pending == 0
	}
	u.Events, err = s.events(r.Events)
	return u, u.Begun || !r.Created || len(u.Events) > 0, err
}

// events returns what has not been told yet. A change that comes again, or late, is left out:
// it adds nothing, and etcd has sent some twice.
func (s *Stream) events(raw []RawEvent) ([]Event, error) {
	var events []Event
	for _, e := range raw {
		last, watched := s.told[string(e.KV.Key)]
		switch {
		case !watched:
			return nil, fmt.Errorf("%w: an event of a key that is not watched", ErrMalformed)
		case e.Type != typePut && e.Type != typeDelete:
			return nil, fmt.Errorf("%w: an event of type %d", ErrMalformed, e.Type)
		case e.KV.ModRevision <= last:
			continue
		}
		s.told[string(e.KV.Key)] = e.KV.ModRevision
		events = append(events, e.event())
	}
	return events, nil
}

// explain says what an error of gRPC's means to who has given ctx.
func explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return ErrEnded
	default:
		return err
	}
}

// sameMember returns an error if an answer comes from another member than the first.
func (h Header) sameMember(other Header) error {
	if other.MemberID != h.MemberID || other.ClusterID != h.ClusterID {
		return fmt.Errorf("%w: %x of cluster %x instead of %x of %x", ErrAnotherMember,
			other.MemberID, other.ClusterID, h.MemberID, h.ClusterID)
	}
	return nil
}

func (e *RawEvent) event() Event {
	if e.Type == typeDelete {
		return Event{Key: string(e.KV.Key), Deleted: true, Revision: e.KV.ModRevision}
	}
	return Event{Key: string(e.KV.Key), Value: bytes.Clone(e.KV.Value), Revision: e.KV.ModRevision}
}
