package impl

import (
	"context"
	"sync/atomic"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
)

// counter counts the timestamp requests of a connection for a client that does
// not tell. It adds a method call to each RPC, and nothing to a timestamp.
type counter struct {
	rpcs, timestamps atomic.Int64
}

// intercept is a grpc.StreamClientInterceptor.
func (c *counter) intercept(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn,
	method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &countedStream{ClientStream: stream, counter: c}, nil
}

func (c *counter) stats() Stats {
	return Stats{RPCs: c.rpcs.Load(), Timestamps: c.timestamps.Load()}
}

// countedStream is a stream whose requests are counted.
type countedStream struct {
	grpc.ClientStream
	counter *counter
}

func (s *countedStream) SendMsg(m any) error {
	if request, ok := m.(*pdpb.TsoRequest); ok {
		s.counter.rpcs.Add(1)
		s.counter.timestamps.Add(int64(request.GetCount()))
	}
	return s.ClientStream.SendMsg(m)
}
