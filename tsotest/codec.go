package tsotest

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// rawMessage is sent and received as it is, in place of an encoded message.
type rawMessage []byte

// wireMessage is what kvproto's generated messages can do for themselves.
type wireMessage interface {
	Size() int
	MarshalToSizedBuffer(dst []byte) (int, error)
	Unmarshal(src []byte) error
}

// codec encodes kvproto's messages by their own methods, passes raw messages
// through, and leaves everything else (health checks) to grpc's own codec.
//
// grpc's own codec also takes kvproto's messages, through reflection and a
// wrapper; this one saves half of the allocations of a request.
type codec struct {
	fallback encoding.CodecV2
}

func newCodec() codec {
	return codec{fallback: encoding.GetCodecV2(proto.Name)}
}

// Name is what the content type says, so clients need to know nothing.
func (codec) Name() string { return proto.Name }

// Marshal encodes into a buffer of its own: grpc keeps it until it is written.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case rawMessage:
		return mem.BufferSlice{mem.SliceBuffer(m)}, nil
	case wireMessage:
		buf := make([]byte, m.Size())
		if _, err := m.MarshalToSizedBuffer(buf); err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(buf)}, nil
	default:
		return c.fallback.Marshal(v)
	}
}

// Unmarshal merges into v, which the caller has cleared: this is what allows a
// stream to read every request into the same message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *rawMessage:
		*m = data.Materialize()
		return nil
	case wireMessage:
		if len(data) == 1 {
			return m.Unmarshal(data[0].ReadOnlyData()) // the messages copy what they keep
		}
		return m.Unmarshal(data.Materialize())
	default:
		return c.fallback.Unmarshal(data, v)
	}
}
