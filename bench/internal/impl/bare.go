package impl

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
)

// bare is one gRPC stream. Its callers take turns, so more than one of them only
// wait for each other. It is a yardstick and no client: a stream that breaks
// stays broken.
type bare struct {
	conn   *grpc.ClientConn
	leader string
	cancel context.CancelFunc
	// request is the same each time, and never written again: grpc-go may still
	// read it when SendMsg has returned.
	request *pdpb.TsoRequest

	mu     sync.Mutex        // held for a round trip
	stream pdpb.PD_TsoClient // guarded by mu
	sent   atomic.Int64      // written under mu, so that Stats need not wait
}

func openBare(ctx context.Context, cfg Config) (Client, error) {
	dial, err := dialOption(cfg)
	if err != nil {
		return nil, err
	}
	found, err := discover(ctx, cfg, dial)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target(found.serves), dial)
	if err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	life, cancel := context.WithCancel(ctx)
	stream, err := pdpb.NewPDClient(conn).Tso(life)
	if err != nil {
		cancel()
		_ = conn.Close() // the stream's error says it all
		return nil, fmt.Errorf("bare: %w", err)
	}
	return &bare{
		conn:   conn,
		leader: found.leader,
		cancel: cancel,
		stream: stream,
		request: &pdpb.TsoRequest{
			Header:     &pdpb.RequestHeader{ClusterId: found.clusterID},
			Count:      1,
			DcLocation: cfg.DC,
		},
	}, nil
}

func (b *bare) GetTS(context.Context) (physical, logical int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.stream.Send(b.request); err != nil {
		return 0, 0, err
	}
	b.sent.Add(1)
	answer, err := b.stream.Recv()
	if err != nil {
		return 0, 0, err
	}
	ts := answer.GetTimestamp()
	return ts.GetPhysical(), ts.GetLogical(), nil
}

func (b *bare) Leader() string { return b.leader }

func (b *bare) Stats() Stats {
	n := b.sent.Load()
	return Stats{RPCs: n, Timestamps: n}
}

func (b *bare) Close() {
	b.cancel()
	_ = b.conn.Close() // nothing is left to lose
}
