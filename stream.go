package tso

import (
	"context"

	"github.com/valyala/bytebufferpool"
	"google.golang.org/grpc"

	"github.com/tsoring/tso/internal/wire"
)

// tsoMethod is the method of PD's service that grants timestamps.
const tsoMethod = "/pdpb.PD/Tso"

var tsoStreamDesc = &grpc.StreamDesc{StreamName: "Tso", ServerStreams: true, ClientStreams: true}

// maxAnswer bounds an answer, which has some 30 bytes, or an error's text.
const maxAnswer = 64 << 10

// grpcStream is a tsoStream over gRPC.
//
// SendMsg of grpc-go blocks while 64 KiB of the stream are not written to the
// connection (the stream's write quota). maxInFlight requests are less than a
// tenth of that, and no more than that can be unwritten, since each is used again only
// when it has been written; so Send does not block, also when the peer does not read,
// when it grants no window, and when it answers all the same. SendMsg also waits while RecvMsg replays a stream that the server has not looked at on
// another connection (transparent retry); see openGRPC.
type grpcStream struct {
	stream   grpc.ClientStream
	ctx      context.Context // of the stream
	cancel   context.CancelCauseFunc
	template *wire.Template
	buffers  *bytebufferpool.Pool

	// requests are the messages of the batches in flight, used in turn; of
	// the send side. One is used again only when its answer has been read.
	requests [maxInFlight]wire.Request
	sent     uint64
}

// openGRPC begins a stream on conn. It waits until the connection is up or has
// failed, or ctx ends; the stream ends with ctx.
func openGRPC(ctx context.Context, conn *grpc.ClientConn, template *wire.Template, buffers *bytebufferpool.Pool) (*grpcStream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stream, err := conn.NewStream(ctx, tsoStreamDesc, tsoMethod,
		grpc.ForceCodecV2(wire.Codec{}), grpc.MaxCallRecvMsgSize(maxAnswer))
	if err != nil {
		cancel(err)
		return nil, err
	}
	// Asking for the context ends grpc-go's right to replay the stream. A
	// stream that the server refuses is ours to open again, at once and with
	// the requests of that moment; and a Send never waits for a connection.
	_ = stream.Context()
	return &grpcStream{stream: stream, ctx: ctx, cancel: cancel, template: template, buffers: buffers}, nil
}

// Send implements tsoStream.
func (s *grpcStream) Send(count uint32) error {
	r := &s.requests[s.sent%maxInFlight]
	if err := r.Set(s.buffers, s.template, count); err != nil {
		return err
	}
	s.sent++
	return s.stream.SendMsg(r)
}

// Retire implements tsoStream. The buffers of requests that have been answered
// go back to the pool; gRPC may still read the others.
func (s *grpcStream) Retire(unanswered int) {
	used := min(s.sent, maxInFlight)
	for i := uint64(unanswered); i < used; i++ {
		s.requests[(s.sent-1-i)%maxInFlight].Release(s.buffers)
	}
}

// Recv implements tsoStream. The error of a stream that was closed is the cause.
func (s *grpcStream) Recv(r *wire.Response) error {
	err := s.stream.RecvMsg(r)
	if err == nil {
		return nil
	}
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	return err
}

// Close implements tsoStream.
func (s *grpcStream) Close(cause error) { s.cancel(cause) }
