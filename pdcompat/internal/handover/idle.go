package handover

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// tsoMethod is the method of PD's service that grants timestamps. That of the TSO service
// has another name, and upstream's streams to it are its own.
const tsoMethod = "/pdpb.PD/Tso"

// Intercept is a stream interceptor for upstream's connections. No option keeps upstream
// from opening a TSO stream to PD, and to be refused one makes it try again for ever; so
// while ours serves it gets one that nobody is asked for.
func (h *Handover) Intercept(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	streamer grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if method != tsoMethod {
		return streamer(ctx, desc, conn, method, opts...)
	}
	if needed := h.neededByUpstream(); needed != nil {
		return &idleStream{ctx: ctx, needed: needed}, nil
	}
	stream, err := streamer(ctx, desc, conn, method, opts...)
	if err == nil && h.cfg.Upstream != "" && !h.cfg.ServerProxy {
		if m := askMode(ctx, conn, 0); m != byPD && m != unaware {
			return nil, errOtherGroup
		}
	}
	return stream, err
}

// errOtherGroup refuses a stream to PD to a client for a keyspace where TSO is, or may be, a
// service of its own, unless its program wants PD to be asked. PD passes what comes on it to
// the default keyspace group, whatever the keyspace; and upstream uses one for up to 3 s after
// the mode has changed, until it finds out. The mode is asked for when the stream is there,
// since PD changes it by starting anew, which ends streams: what is true then has been since
// the stream began. Upstream ends the stream's context.
var errOtherGroup = status.Error(codes.Unavailable, "tso: a keyspace's timestamps do not come from PD where TSO is a service of its own")

// neededByUpstream returns what is closed when upstream needs streams, nil if it does now.
func (h *Handover) neededByUpstream() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.needed
}

// idleStream is a TSO stream to nobody. It ends with its context, or when upstream needs
// a true one.
type idleStream struct {
	ctx    context.Context
	needed <-chan struct{}
}

// ErrIdle is what a stream to nobody ends with, and what upstream fails calls with that it
// sends on one that it has from before it began to serve.
var ErrIdle = status.Error(codes.Unavailable, "tso: timestamps come from the client beside this one")

func (s *idleStream) Header() (metadata.MD, error) { return metadata.MD{}, nil }
func (s *idleStream) Trailer() metadata.MD         { return nil }
func (s *idleStream) CloseSend() error             { return nil }
func (s *idleStream) Context() context.Context     { return s.ctx }
func (s *idleStream) SendMsg(any) error            { return ErrIdle }

func (s *idleStream) RecvMsg(any) error {
	select {
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	case <-s.needed:
		return ErrIdle
	}
}
