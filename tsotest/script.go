package tsotest

import (
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
)

// A Request is what a script is told of one timestamp request.
type Request struct {
	Member    int    // the member that the client sent it to
	Stream    uint64 // which stream of the server, from 1
	N         int    // which request of the stream, from 1; 0 for ScriptOpen
	Total     int    // which request of the server, from 1; 0 for ScriptOpen
	DC        string // the dc-location as sent: PD takes "" and "global" for the same
	Count     uint32 // how many timestamps are asked for
	Forwarded string // the host the client wants it relayed to; "" if none
}

// A Reply says what becomes of one request. The zero Reply is the normal
// answer: whatever PD would say, errors included. The fields combine, so
// Reply{Delay: d, Err: err} fails the stream after d. Where they exclude each
// other, Err wins over Drop, Drop over Raw, and Raw over Edit.
//
// However long an answer takes, the requests behind it are read in the
// meantime, and the answers of a stream leave in the order of the requests.
type Reply struct {
	// Delay is added to the latency.
	Delay time.Duration
	// Hold keeps the answer, and so those behind it, until the next Release of
	// the member, or the end of the stream.
	Hold bool
	// Drop swallows the request: no answer, and the stream goes on.
	Drop bool
	// Err ends the stream with this status. io.EOF ends it without an error, as
	// a server that has no more to say.
	Err error
	// Raw is sent in place of the answer's encoding.
	Raw []byte
	// Edit changes the answer, which is complete but for its encoding. It is not
	// called for Err, Drop and Raw.
	Edit func(*pdpb.TsoResponse)
	// Extra is how many more times the answer is sent. Nobody asked for those.
	Extra int
}

// plain reports whether the reply is the normal answer, without delay.
func (r *Reply) plain() bool {
	return r.Delay == 0 && !r.Hold && !r.Drop && r.Err == nil && r.Raw == nil && r.Edit == nil && r.Extra == 0
}

// Script has f decide on every timestamp request from now on; nil ends that.
//
// f is called once for each request, before PD's own checks, in order within a
// stream and concurrently over streams; it must be safe for that. The stream
// reads on when f has returned. f may use every method of the Server but Close.
func (s *Server) Script(f func(Request) Reply) {
	s.script.Store(scriptOf(f))
}

// ScriptOpen has f decide on every timestamp stream that is opened from now on,
// before its first request is read; nil ends that. In its Reply, Delay and Hold
// keep the server from reading the stream, Err refuses it, and Raw and Extra
// send what nobody has asked for: Extra counts valid answers of one timestamp.
// Drop and Edit mean nothing here.
func (s *Server) ScriptOpen(f func(Request) Reply) {
	s.openScript.Store(scriptOf(f))
}

// ScriptMembers has f see every answer to GetMembers before it is sent by the
// given member; nil ends that. f may change the answer in any way, or return an
// error to be sent in its place. f is called concurrently. It may use every
// method of the Server but Close, and StopMember or RemoveMember of the same
// member, which wait for it.
func (s *Server) ScriptMembers(f func(member int, resp *pdpb.GetMembersResponse) error) {
	if f == nil {
		s.memberScript.Store(nil)
		return
	}
	s.memberScript.Store(&f)
}

type scriptFunc func(Request) Reply

func scriptOf(f func(Request) Reply) *scriptFunc {
	if f == nil {
		return nil
	}
	sf := scriptFunc(f)
	return &sf
}
