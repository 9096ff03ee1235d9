package etcdwatch

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the fields in etcd's rpc.proto and kv.proto.
const (
	rangeKey          = 1
	rangeRevision     = 4
	rangeSerializable = 7

	watchCreate   = 1 // WatchCreateRequest
	watchProgress = 3 // WatchProgressRequest

	createKey   = 1
	createStart = 3

	responseHeader = 1 // of all answers

	headerCluster  = 1
	headerMember   = 2
	headerRevision = 3
	headerTerm     = 4

	rangeKVs = 2

	watchCreated = 3
	watchCancel  = 4
	watchCompact = 5
	watchReason  = 6
	watchEvents  = 11

	eventType = 1
	eventKV   = 2

	kvKey         = 1
	kvModRevision = 3
	kvValue       = 5
)

// What has happened to a key, in etcd's numbers.
const (
	typePut    = 0
	typeDelete = 1
)

// appendRange appends a question for a key at a revision, 0 for the latest, that the member may
// answer by its own knowledge.
func appendRange(b []byte, key string, revision int64) []byte {
	b = protowire.AppendTag(b, rangeKey, protowire.BytesType)
	b = protowire.AppendString(b, key)
	if revision != 0 {
		b = protowire.AppendTag(b, rangeRevision, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(revision))
	}
	b = protowire.AppendTag(b, rangeSerializable, protowire.VarintType)
	return protowire.AppendVarint(b, 1)
}

// appendCreate appends the request to watch a key from a revision on. etcd numbers the watches; their
// numbers are not needed, since events name their keys.
func appendCreate(b []byte, key string, from int64) []byte {
	var create []byte
	create = protowire.AppendTag(create, createKey, protowire.BytesType)
	create = protowire.AppendString(create, key)
	create = protowire.AppendTag(create, createStart, protowire.VarintType)
	create = protowire.AppendVarint(create, uint64(from))
	b = protowire.AppendTag(b, watchCreate, protowire.BytesType)
	return protowire.AppendBytes(b, create)
}

func appendProgress(b []byte) []byte {
	b = protowire.AppendTag(b, watchProgress, protowire.BytesType)
	return protowire.AppendBytes(b, nil)
}

// KV is a key and its value. Its bytes are views of the message.
type KV struct {
	Key, Value  []byte
	ModRevision int64
}

// RawEvent is an event as it came.
type RawEvent struct {
	Type int32
	KV   KV
}

// RangeResponse is what is used of an answer of that name.
type RangeResponse struct {
	Header Header
	KVs    []KV
}

// WatchResponse is what is used of an answer of that name. Fragments need no attention: what is
// split are lists of events.
type WatchResponse struct {
	Header          Header
	Created         bool
	Canceled        bool
	CompactRevision int64
	Reason          []byte // a view of the message
	Events          []RawEvent
}

// refused returns why the member does not watch a key, or nil.
func (r *WatchResponse) refused() error {
	if !r.Canceled && r.CompactRevision == 0 {
		return nil
	}
	reason := r.Reason[:min(len(r.Reason), maxReason)]
	return &CanceledError{Reason: string(reason), CompactRevision: r.CompactRevision}
}

// DecodeRange reads an answer to a Range.
func DecodeRange(b []byte) (r RangeResponse, err error) {
	err = fields(b, func(num protowire.Number, f field) error {
		switch {
		case num == responseHeader && f.bytes():
			return r.Header.decode(f.b)
		case num == rangeKVs && f.bytes():
			r.KVs = append(r.KVs, KV{})
			return r.KVs[len(r.KVs)-1].decode(f.b)
		}
		return nil
	})
	return r, err
}

// DecodeWatch reads an answer of a watch.
func DecodeWatch(b []byte) (r WatchResponse, err error) {
	err = fields(b, func(num protowire.Number, f field) error {
		switch {
		case num == responseHeader && f.bytes():
			return r.Header.decode(f.b)
		case num == watchEvents && f.bytes():
			r.Events = append(r.Events, RawEvent{})
			return r.Events[len(r.Events)-1].decode(f.b)
		case num == watchReason && f.bytes():
			r.Reason = f.b
		case num == watchCreated && f.varint():
			r.Created = protowire.DecodeBool(f.v)
		case num == watchCancel && f.varint():
			r.Canceled = protowire.DecodeBool(f.v)
		case num == watchCompact && f.varint():
			r.CompactRevision = int64(f.v)
		}
		return nil
	})
	return r, err
}

func (h *Header) decode(b []byte) error {
	return fields(b, func(num protowire.Number, f field) error {
		switch {
		case num == headerCluster && f.varint():
			h.ClusterID = f.v
		case num == headerMember && f.varint():
			h.MemberID = f.v
		case num == headerRevision && f.varint():
			h.Revision = int64(f.v)
		case num == headerTerm && f.varint():
			h.Term = f.v
		}
		return nil
	})
}

func (e *RawEvent) decode(b []byte) error {
	return fields(b, func(num protowire.Number, f field) error {
		switch {
		case num == eventType && f.varint():
			e.Type = int32(f.v)
		case num == eventKV && f.bytes():
			return e.KV.decode(f.b)
		}
		return nil
	})
}

func (kv *KV) decode(b []byte) error {
	return fields(b, func(num protowire.Number, f field) error {
		switch {
		case num == kvKey && f.bytes():
			kv.Key = f.b
		case num == kvValue && f.bytes():
			kv.Value = f.b
		case num == kvModRevision && f.varint():
			kv.ModRevision = int64(f.v)
		}
		return nil
	})
}

// field is the value of a field: v, or b, or neither for types that etcd's messages do not have.
type field struct {
	typ protowire.Type
	v   uint64
	b   []byte
}

func (f *field) varint() bool { return f.typ == protowire.VarintType }
func (f *field) bytes() bool  { return f.typ == protowire.BytesType }

// fields calls do with each field of a message. One that is not known, or of another type than is
// known, do passes over.
func fields(b []byte, do func(protowire.Number, field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("%w: field number %d", ErrMalformed, num)
		}
		b = b[n:]
		f := field{typ: typ}
		switch typ {
		case protowire.VarintType:
			f.v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		if err := do(num, f); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
