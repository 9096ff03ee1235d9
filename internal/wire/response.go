package wire

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"
)

// Response is a decoded TsoResponse, flat. It is used for one answer after
// another; the zero value is ready.
type Response struct {
	Physical    int64  // milliseconds since 1970
	Logical     int64  // the largest of the batch
	ClusterID   uint64 // 0 where the server, or its age, does not say
	Count       uint32
	SuffixBits  uint32
	ErrType     int32 // pdpb.ErrorType
	HasError    bool  // the header carries an error: nothing else counts
	HasTime     bool  // there is a timestamp
	ErrMessage  []byte
	assembleBuf []byte // for messages that gRPC delivers in pieces
}

// Decoding errors. They are static: a hostile server must not be able to make
// the client work for them.
var (
	errTruncated = errors.New("tso response: truncated")
	errVarint    = errors.New("tso response: varint of more than ten bytes")
	errWireType  = errors.New("tso response: field of an unexpected wire type")
	errTag       = errors.New("tso response: illegal tag")
)

const (
	responseHeader    = 1 // ResponseHeader
	responseCount     = 2 // uint32
	responseTimestamp = 3 // Timestamp

	headerError = 2 // Error

	errorType    = 1 // ErrorType
	errorMessage = 2 // string

	timestampPhysical   = 1 // int64
	timestampLogical    = 2 // int64
	timestampSuffixBits = 3 // uint32
)

// DecodeBuffers decodes a message as gRPC delivers it.
func (r *Response) DecodeBuffers(data mem.BufferSlice) error {
	if len(data) == 1 {
		return r.Decode(data[0].ReadOnlyData())
	}
	r.assembleBuf = r.assembleBuf[:0]
	for _, piece := range data {
		r.assembleBuf = append(r.assembleBuf, piece.ReadOnlyData()...)
	}
	return r.Decode(r.assembleBuf)
}

// Decode replaces r by the message in b. It allocates only for the text of an
// error. After a decoding error r is undefined.
func (r *Response) Decode(b []byte) error {
	*r = Response{ErrMessage: r.ErrMessage[:0], assembleBuf: r.assembleBuf}
	for c := (cursor{b: b}); c.more(); {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		var sub []byte
		switch num {
		case responseHeader:
			if sub, err = c.bytesOf(typ); err == nil {
				err = r.decodeHeader(sub)
			}
		case responseCount:
			var v uint64
			v, err = c.varintOf(typ)
			r.Count = uint32(v)
		case responseTimestamp:
			if sub, err = c.bytesOf(typ); err == nil {
				err = r.decodeTimestamp(sub)
			}
		default:
			err = c.skip(typ)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Response) decodeHeader(b []byte) error {
	for c := (cursor{b: b}); c.more(); {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		switch num {
		case headerClusterID:
			r.ClusterID, err = c.varintOf(typ)
		case headerError:
			var sub []byte
			if sub, err = c.bytesOf(typ); err == nil {
				r.HasError = true
				err = r.decodeError(sub)
			}
		default:
			err = c.skip(typ)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Response) decodeError(b []byte) error {
	for c := (cursor{b: b}); c.more(); {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		switch num {
		case errorType:
			var v uint64
			v, err = c.varintOf(typ)
			r.ErrType = int32(v)
		case errorMessage:
			var text []byte
			if text, err = c.bytesOf(typ); err == nil {
				r.ErrMessage = append(r.ErrMessage[:0], text...)
			}
		default:
			err = c.skip(typ)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Response) decodeTimestamp(b []byte) error {
	r.HasTime = true
	for c := (cursor{b: b}); c.more(); {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		var v uint64
		switch num {
		case timestampPhysical:
			v, err = c.varintOf(typ)
			r.Physical = int64(v)
		case timestampLogical:
			v, err = c.varintOf(typ)
			r.Logical = int64(v)
		case timestampSuffixBits:
			v, err = c.varintOf(typ)
			r.SuffixBits = uint32(v)
		default:
			err = c.skip(typ)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// What an answer may hold. A physical time of 2^46 ms is the year 4199, and the
// largest that fits above 18 logical bits in 64 with PD's own arithmetic.
const (
	maxPhysical   = 1 << 46
	maxLogical    = 1 << 18
	maxSuffixBits = 4
)

// ErrCluster says that the answer came from a server of another cluster.
var ErrCluster = errors.New("answer of another cluster")

// ServerError is an error that the server put into the header of an answer.
type ServerError struct {
	Type    int32 // pdpb.ErrorType
	Message string
}

// Error returns the server's text.
func (e *ServerError) Error() string {
	return fmt.Sprintf("error in the response header (type %d): %s", e.Type, e.Message)
}

// Check says whether the answer may be used for a request that asked for count
// timestamps of the given cluster: nil, a *ServerError, an error that Is
// ErrCluster, or one that names the field that cannot be true. Servers of before
// cluster ids, and some errors, send an id of 0, which is accepted; and so is any
// id while the client does not know its own.
func (r *Response) Check(count uint32, clusterID uint64) error {
	switch {
	case r.HasError:
		return &ServerError{Type: r.ErrType, Message: string(r.ErrMessage)}
	case r.ClusterID != 0 && clusterID != 0 && r.ClusterID != clusterID:
		return fmt.Errorf("%w: got id %d, want %d", ErrCluster, r.ClusterID, clusterID)
	case r.Count != count:
		return fmt.Errorf("%d timestamps instead of the %d asked for", r.Count, count)
	case !r.HasTime:
		return errors.New("no timestamp")
	case r.Physical <= 0 || r.Physical >= maxPhysical:
		return fmt.Errorf("physical time %d is out of range", r.Physical)
	case r.SuffixBits > maxSuffixBits:
		return fmt.Errorf("%d suffix bits, at most %d can be", r.SuffixBits, maxSuffixBits)
	case r.Logical < 0 || r.Logical >= maxLogical:
		return fmt.Errorf("logical time %d is out of range", r.Logical)
	case r.Logical < int64(count-1)<<r.SuffixBits:
		return fmt.Errorf("logical time %d is too small for %d timestamps with %d suffix bits", r.Logical, count, r.SuffixBits)
	default:
		return nil
	}
}
