// Package wire is the flat wire codec of one timestamp RPC: pdpb.TsoRequest and
// pdpb.TsoResponse of PD's protocol, written and read without the generated
// code's objects, and the check of an answer before anything of it is used.
//
// The generated code of kvproto allocates a message, a header and a timestamp
// per RPC on either side, and a slice for the encoded form. This package writes
// a request into a buffer that is used again, and reads a response into a
// struct that is used again. What it accepts, and what it reads from that, is
// what the generated code does: a differential fuzz target holds it to that.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
	"google.golang.org/grpc/mem"
)

// Field numbers and wire types of the protobuf messages in pdpb.proto.
const (
	typeVarint = 0
	typeBytes  = 2

	requestHeader = 1 // RequestHeader
	requestCount  = 2 // uint32
	requestDC     = 3 // string

	headerClusterID = 1 // uint64, in both headers
)

// Template is what all requests of one stream share: the cluster they are meant
// for and the dc-location they ask. It is immutable.
type Template struct {
	header []byte // the header field, complete
	dc     []byte // the dc-location field, complete; empty for none
}

// NewTemplate returns the template for requests to the given cluster and
// dc-location. An empty dc leaves the field out, which PD takes for "global".
func NewTemplate(clusterID uint64, dc string) *Template {
	t := &Template{}
	var id []byte
	if clusterID != 0 {
		id = append(id, headerClusterID<<3|typeVarint)
		id = binary.AppendUvarint(id, clusterID)
	}
	t.header = append(t.header, requestHeader<<3|typeBytes)
	t.header = binary.AppendUvarint(t.header, uint64(len(id)))
	t.header = append(t.header, id...)
	if dc != "" {
		t.dc = append(t.dc, requestDC<<3|typeBytes)
		t.dc = binary.AppendUvarint(t.dc, uint64(len(dc)))
		t.dc = append(t.dc, dc...)
	}
	return t
}

// Append appends the encoded request for count timestamps to b.
func (t *Template) Append(b []byte, count uint32) []byte {
	b = append(b, t.header...)
	if count != 0 {
		b = append(b, requestCount<<3|typeVarint)
		b = binary.AppendUvarint(b, uint64(count))
	}
	return append(b, t.dc...)
}

// Request is one request in flight: the bytes that gRPC has been given, and may read until
// it has let go of them. It lets go when it has written them to the connection, which a
// peer can put off for ever by granting no window, also while it sends answers. A stats
// handler may hold a Request longer than the transport. So a stream keeps as many Requests
// as it may have batches in flight, uses one again only when the answer to its last use has
// been read, and Set refuses where gRPC has not let go of it even then.
//
// A Request has one owner at a time and must not be copied. It is the buffer pool of what
// it lends to gRPC, which calls Put on a goroutine of its own.
type Request struct {
	buf   *bytebufferpool.ByteBuffer
	slice mem.BufferSlice
	lent  atomic.Int32 // buffers that gRPC has not let go of
}

// ErrUnread says that the last use of a Request has not been written yet, although it has
// been answered: the peer answers what it has not read.
var ErrUnread = errors.New("the server answers requests that it has not read")

// room is the capacity of a request's buffer. Up to 1 KiB gRPC does not tell when it has let
// go of a buffer (mem.IsBelowBufferPoolingThreshold).
const room = 1<<10 + 64

// Set encodes the request for count timestamps, using a buffer of pool until Release, or
// returns ErrUnread. The first use allocates.
func (r *Request) Set(pool *bytebufferpool.Pool, t *Template, count uint32) error {
	if r.lent.Load() > 0 {
		return ErrUnread
	}
	if r.buf == nil {
		r.buf = pool.Get()
		r.slice = make(mem.BufferSlice, 1)
		if cap(r.buf.B) < room {
			r.buf.B = make([]byte, 0, room)
		}
	}
	r.buf.B = t.Append(r.buf.B[:0], count)
	return nil
}

// lend returns the encoded request for gRPC, which is told to hand it back. An interceptor
// may send it more than once: all but the first get a copy.
func (r *Request) lend() mem.BufferSlice {
	if r.lent.Add(1) > 1 {
		r.lent.Add(-1)
		return mem.BufferSlice{mem.SliceBuffer(bytes.Clone(r.buf.B))}
	}
	r.slice[0] = mem.NewBuffer(&r.buf.B, r)
	return r.slice
}

// Get implements mem.BufferPool. gRPC does not call it.
func (*Request) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// Put implements mem.BufferPool: gRPC has let go of the request.
func (r *Request) Put(*[]byte) { r.lent.Add(-1) }

// Release gives the buffer back to the pool that it came from, unless gRPC holds it still.
// The answer to the last request must have been read; otherwise drop the Request instead.
func (r *Request) Release(pool *bytebufferpool.Pool) {
	if r.buf != nil && r.lent.Load() == 0 {
		pool.Put(r.buf)
		r.buf, r.slice = nil, nil
	}
}
