package etcdwatch

import (
	"errors"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// codec passes encoded messages through gRPC, as *[]byte. They are not decoded here, because gRPC
// makes a text of what a codec returns.
type codec struct{}

var _ encoding.CodecV2 = codec{}

var errNotBytes = errors.New("etcd codec: can only pass a *[]byte")

// Marshal returns the bytes, which gRPC may keep.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, errNotBytes
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

// Unmarshal copies data.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return errNotBytes
	}
	*b = data.Materialize()
	return nil
}

// Name returns "proto": what is on the wire is protobuf.
func (codec) Name() string { return "proto" }
