package tsotest

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc/metadata"
)

// forwardedHost is the metadata key that asks a member to relay a stream.
const forwardedHost = "pd-forwarded-host"

// stream is one timestamp stream.
//
// Two goroutines serve it. The reader receives requests, asks the script and
// the oracle, and as long as nothing is out of the ordinary also sends the
// answer itself: no hop between request and answer. Its first answer that has to
// wait goes into the queue, and so does all after it: from then on only the
// writer, which is the handler's own goroutine, sends. While the reader still
// sends, the turn keeps the writer from ending the stream in the middle of it.
//
// Slots of the queue belong to the reader until pushed, then to the writer.
type stream struct {
	pdpb.PD_TsoServer
	server *Server
	member *member // where the client's stream came in
	target *member // who answers: member itself, or the one it relays to
	host   string  // as the client named the target
	id     uint64

	// The reader's own.
	req    pdpb.TsoRequest
	header pdpb.RequestHeader
	n      int
	queued bool // the writer sends

	// Of whoever sends.
	answer answer
	timer  *time.Timer // the writer's; made when first needed

	turn  chan struct{} // holds a token while the reader sends, or for ever
	queue queue
	kill  chan error // room for one; its error ends the stream
}

// Tso serves one stream until the client or a fault ends it.
func (v *service) Tso(grpcStream pdpb.PD_TsoServer) error {
	m := v.member
	s := m.server
	st := &stream{
		PD_TsoServer: grpcStream,
		server:       s,
		member:       m,
		target:       m,
		id:           s.streams.Add(1),
		turn:         make(chan struct{}, 1),
		kill:         make(chan error, 1),
	}
	st.queue.init()
	st.answer.init(s.conf.clusterID)
	m.opened.Add(1)
	if err := st.relay(); err != nil {
		return err
	}
	st.target.attach(st)
	m.attach(st)
	defer m.detach(st)
	defer st.target.detach(st)
	if err := st.open(); err != nil {
		return endOf(err)
	}
	s.readers.Go(st.read)
	return endOf(st.write())
}

// endOf turns the end of a stream into what a gRPC handler returns.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// relay finds out whether the client wants another member to answer.
func (st *stream) relay() error {
	md, _ := metadata.FromIncomingContext(st.Context())
	hosts := md.Get(forwardedHost)
	if len(hosts) == 0 || hosts[0] == "" {
		return nil
	}
	st.host = hosts[0]
	_, addr, hasScheme := strings.Cut(st.host, "://")
	if !hasScheme {
		addr = st.host
	}
	target := st.server.topology.Load().byAddr(addr)
	if target == nil {
		return errForwardedNotLeader(st.host)
	}
	st.target = target
	return nil
}

// open asks the script for streams.
func (st *stream) open() error {
	script := st.server.openScript.Load()
	if script == nil {
		return nil
	}
	reply := (*script)(Request{Member: st.member.index, Stream: st.id, Forwarded: st.host})
	first := st.newItem(&reply)
	first.copies = reply.Extra
	switch {
	case reply.Err != nil:
		first.end, first.err = true, reply.Err
	case reply.Raw != nil:
		first.msg = rawMessage(reply.Raw)
		first.copies++
	case reply.Extra > 0:
		first.count = 1
		var err error
		if first.stamps, err = st.server.oracle.next(st.server.oracle.global, 1); err != nil {
			return err
		}
	}
	return st.emit(&first)
}

// read is the reader.
func (st *stream) read() {
	for {
		if err := st.receive(); err != nil {
			st.push(item{end: true, err: err})
			return
		}
		if !st.handle() {
			return
		}
	}
}

// receive reads the next request into the one message there is.
func (st *stream) receive() error {
	st.header.Reset()
	st.req = pdpb.TsoRequest{Header: &st.header}
	if err := st.RecvMsg(&st.req); err != nil {
		return err // io.EOF when the client has half-closed
	}
	st.n++
	st.member.requests.Add(1)
	return nil
}

// handle decides on one request; false if it was the last.
func (st *stream) handle() bool {
	total := st.server.requests.Add(1)
	var reply Reply
	if script := st.server.script.Load(); script != nil {
		reply = (*script)(Request{
			Member: st.member.index, Stream: st.id, N: st.n, Total: int(total),
			DC: st.req.DcLocation, Count: st.req.Count, Forwarded: st.host,
		})
	}
	if reply.Drop && reply.Err == nil {
		return true
	}
	it := st.newItem(&reply)
	st.fill(&it, &reply)
	if !st.queued && reply.plain() && !it.end && st.clear() {
		return st.sendInTurn(&it)
	}
	st.queued = true
	st.push(it)
	return !it.end
}

// fill completes an item with what it says.
func (st *stream) fill(it *item, reply *Reply) {
	it.copies += reply.Extra
	switch {
	case reply.Err != nil:
		it.end, it.err = true, reply.Err
		return
	case reply.Raw != nil:
		it.msg = rawMessage(reply.Raw)
		return
	}
	if it.stamps, it.err = st.generate(); it.err != nil {
		it.end = true
		return
	}
	it.count = st.req.Count
	if reply.Edit != nil {
		var edited answer // of its own: it may be changed in any way
		edited.init(st.server.conf.clusterID)
		resp := edited.set(it.count, it.stamps)
		reply.Edit(resp)
		it.msg = resp
	}
}

// clear reports whether nothing stands between an answer and its client.
func (st *stream) clear() bool {
	return st.latency() == 0 && st.member.gate.shut() == nil && st.target.gate.shut() == nil
}

// sendInTurn sends an answer from the reader.
func (st *stream) sendInTurn(it *item) bool {
	select {
	case st.turn <- struct{}{}:
	case <-st.Context().Done():
		return false
	}
	err := st.send(it)
	<-st.turn
	if err != nil {
		st.push(item{end: true, err: err})
	}
	return err == nil
}
