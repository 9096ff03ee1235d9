package tsotest

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the fields in etcd's rpc.proto and kv.proto. They are written down once more here, and
// not taken from the client, which would not be tested by them then. etcd's own module cannot be
// linked beside PD's server.
const (
	fieldKey      = 1 // of a RangeRequest, a WatchCreateRequest and a KeyValue
	fieldRangeEnd = 2 // of the first two

	fieldRangeRevision     = 4
	fieldRangeSerializable = 7

	fieldCreate        = 1 // of a WatchRequest
	fieldProgress      = 3
	fieldStartRevision = 3 // of a WatchCreateRequest

	fieldHeader = 1 // of both answers

	fieldClusterID = 1
	fieldMemberID  = 2
	fieldRevision  = 3
	fieldTerm      = 4

	fieldKVs   = 2 // of a RangeResponse
	fieldCount = 4

	fieldWatchID  = 2 // of a WatchResponse
	fieldCreated  = 3
	fieldCanceled = 4
	fieldCompact  = 5
	fieldReason   = 6
	fieldEvents   = 11

	fieldType = 1 // of an Event
	fieldKV   = 2

	fieldCreateRevision = 2 // of a KeyValue
	fieldModRevision    = 3
	fieldVersion        = 4
	fieldValue          = 5

	typeDelete = 1 // of an Event
)

// rangeRequest is what is used of a request of that name.
type rangeRequest struct {
	key          string
	revision     int64 // 0: the latest
	serializable bool
}

func decodeRange(b []byte) (r rangeRequest, err error) {
	err = eachField(b, func(num int32, v uint64, data []byte) error {
		switch num {
		case fieldKey:
			r.key = string(data)
		case fieldRangeRevision:
			r.revision = int64(v)
		case fieldRangeSerializable:
			r.serializable = v != 0
		case fieldRangeEnd:
			return errOneKey
		}
		return nil
	})
	return r, err
}

// watchRequest is what a client says on a watch's stream. Without a key it asks for progress.
type watchRequest struct {
	create   bool
	progress bool
	key      string
	from     int64 // 0: from now on
	end      error // of the stream: the last request
}

func decodeWatch(b []byte) (r watchRequest, err error) {
	err = eachField(b, func(num int32, _ uint64, data []byte) error {
		switch num {
		case fieldCreate:
			r.create = true
			return r.decodeCreate(data)
		case fieldProgress:
			r.progress = true
		}
		return nil
	})
	return r, err
}

func (r *watchRequest) decodeCreate(b []byte) error {
	return eachField(b, func(num int32, v uint64, data []byte) error {
		switch num {
		case fieldKey:
			r.key = string(data)
		case fieldStartRevision:
			r.from = int64(v)
		case fieldRangeEnd:
			return errOneKey
		}
		return nil
	})
}

// eachField calls do with each field of a message, its number or its bytes.
func eachField(b []byte, do func(num int32, v uint64, data []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errEncoding(n)
		}
		b = b[n:]
		var v uint64
		var data []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errEncoding(n)
		}
		if err := do(int32(num), v, data); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func errEncoding(n int) error {
	return status.Error(codes.Internal, "grpc: error unmarshalling request: "+protowire.ParseError(n).Error())
}

// encode returns the answer as it is sent.
func (a *WatchAnswer) encode() rawMessage {
	if a.Raw != nil {
		return a.Raw
	}
	b := appendMessage(nil, fieldHeader, a.header())
	if a.Range {
		return a.appendKVs(b)
	}
	b = appendNumber(b, fieldWatchID, uint64(a.WatchID))
	b = appendNumber(b, fieldCreated, protowire.EncodeBool(a.Created))
	b = appendNumber(b, fieldCanceled, protowire.EncodeBool(a.Canceled))
	b = appendNumber(b, fieldCompact, uint64(a.CompactRevision))
	if a.Reason != "" {
		b = appendMessage(b, fieldReason, []byte(a.Reason))
	}
	for i := range a.Events {
		var event []byte
		if a.Events[i].Deleted {
			event = appendNumber(event, fieldType, typeDelete)
		}
		b = appendMessage(b, fieldEvents, appendMessage(event, fieldKV, a.Events[i].keyValue()))
	}
	return b
}

func (a *WatchAnswer) appendKVs(b []byte) []byte {
	var count uint64
	for i := range a.Events {
		if !a.Events[i].Deleted {
			b = appendMessage(b, fieldKVs, a.Events[i].keyValue())
			count++
		}
	}
	return appendNumber(b, fieldCount, count)
}

func (a *WatchAnswer) header() []byte {
	b := appendNumber(nil, fieldClusterID, a.ClusterID)
	b = appendNumber(b, fieldMemberID, a.MemberID)
	b = appendNumber(b, fieldRevision, uint64(a.Revision))
	return appendNumber(b, fieldTerm, a.Term)
}

// keyValue encodes the key, and what a key that was put has: what somebody leads is deleted before
// somebody else does, so each value is its key's first.
func (e *WatchEvent) keyValue() []byte {
	b := appendMessage(nil, fieldKey, []byte(e.Key))
	if !e.Deleted {
		b = appendNumber(b, fieldCreateRevision, uint64(e.Revision))
	}
	b = appendNumber(b, fieldModRevision, uint64(e.Revision))
	if !e.Deleted {
		b = appendNumber(b, fieldVersion, 1)
		b = appendMessage(b, fieldValue, e.Value)
	}
	return b
}

// appendNumber appends a number, or nothing for 0, as protobuf does.
func appendNumber(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendMessage(b []byte, num protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), data)
}
