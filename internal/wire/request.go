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
	"encoding/binary"

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

// Request is one request in flight: the bytes that gRPC has been given and may
// read until the answer to it has come. gRPC does not say when it has let go of
// a small buffer, and a stats handler may hold it longer than the transport; so
// a stream keeps as many Requests as it may have batches in flight and writes
// into one only when the answer to its last use has been read.
//
// A Request has one owner at a time and must not be copied.
type Request struct {
	buf   *bytebufferpool.ByteBuffer
	slice mem.BufferSlice
	// boxes holds views of buf by their length. Turning bytes into a
	// mem.Buffer allocates the interface's data word; the length of a request
	// depends on its count alone, which is at most 10,000 and so takes one or
	// two bytes, and each view is made once.
	boxes [maxLengths]mem.Buffer
}

// maxLengths is the number of lengths that a request of one template can have,
// counts of up to five bytes included.
const maxLengths = 6

// Set encodes the request for count timestamps, using a buffer of pool until
// Release. The first use allocates, and so does the first of a larger count.
func (r *Request) Set(pool *bytebufferpool.Pool, t *Template, count uint32) {
	if r.buf == nil {
		r.buf = pool.Get()
		r.slice = make(mem.BufferSlice, 1)
	}
	before := cap(r.buf.B)
	r.buf.B = t.Append(r.buf.B[:0], count)
	if cap(r.buf.B) != before {
		r.boxes = [maxLengths]mem.Buffer{} // they show the array before
	}
	box := &r.boxes[countLen(count)]
	if *box == nil {
		*box = mem.SliceBuffer(r.buf.B)
	}
	r.slice[0] = *box
}

// Release gives the buffer back to the pool that it came from. The answer to
// the last request must have been read; otherwise drop the Request instead.
func (r *Request) Release(pool *bytebufferpool.Pool) {
	if r.buf != nil {
		pool.Put(r.buf)
	}
	*r = Request{}
}

// countLen returns the number of bytes of count's value, 0 for a count that is
// left out.
func countLen(count uint32) int {
	n := 0
	for ; count != 0; count >>= 7 {
		n++
	}
	return n
}
