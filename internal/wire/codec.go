package wire

import (
	"errors"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Codec lets gRPC send a *Request and receive into a *Response
// (grpc.ForceCodecV2). It has no state.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

var (
	errNotRequest  = errors.New("tso codec: can only send a *wire.Request")
	errNotResponse = errors.New("tso codec: can only receive a *wire.Response")
)

// Marshal returns the bytes of a *Request. They are the Request's own, which learns when
// they have been written.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*Request)
	if !ok {
		return nil, errNotRequest
	}
	return r.lend(), nil
}

// Unmarshal decodes data into a *Response and keeps nothing of it.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*Response)
	if !ok {
		return errNotResponse
	}
	return r.DecodeBuffers(data)
}

// Name returns "proto": what is on the wire is protobuf.
func (Codec) Name() string { return "proto" }
