package fuzz

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tsoring/tso/internal/etcdwatch"
)

// etcdField is a field of a message; of is the name of a message type, if that is what it is.
type etcdField struct {
	name string
	num  int32
	typ  descriptorpb.FieldDescriptorProto_Type
	of   string
	many bool
}

const (
	typeUint64  = descriptorpb.FieldDescriptorProto_TYPE_UINT64
	typeInt64   = descriptorpb.FieldDescriptorProto_TYPE_INT64
	typeInt32   = descriptorpb.FieldDescriptorProto_TYPE_INT32 // as an enum reads
	typeBool    = descriptorpb.FieldDescriptorProto_TYPE_BOOL
	typeBytes   = descriptorpb.FieldDescriptorProto_TYPE_BYTES // as a string that need not be UTF-8
	typeMessage = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

// etcdMessages are the messages of etcd's rpc.proto and kv.proto that are read.
var etcdMessages = map[string][]etcdField{
	"ResponseHeader": {
		{name: "cluster_id", num: 1, typ: typeUint64},
		{name: "member_id", num: 2, typ: typeUint64},
		{name: "revision", num: 3, typ: typeInt64},
		{name: "raft_term", num: 4, typ: typeUint64},
	},
	"KeyValue": {
		{name: "key", num: 1, typ: typeBytes},
		{name: "create_revision", num: 2, typ: typeInt64},
		{name: "mod_revision", num: 3, typ: typeInt64},
		{name: "version", num: 4, typ: typeInt64},
		{name: "value", num: 5, typ: typeBytes},
		{name: "lease", num: 6, typ: typeInt64},
	},
	"Event": {
		{name: "type", num: 1, typ: typeInt32},
		{name: "kv", num: 2, typ: typeMessage, of: "KeyValue"},
	},
	"WatchResponse": {
		{name: "header", num: 1, typ: typeMessage, of: "ResponseHeader"},
		{name: "watch_id", num: 2, typ: typeInt64},
		{name: "created", num: 3, typ: typeBool},
		{name: "canceled", num: 4, typ: typeBool},
		{name: "compact_revision", num: 5, typ: typeInt64},
		{name: "cancel_reason", num: 6, typ: typeBytes},
		{name: "fragment", num: 7, typ: typeBool},
		{name: "events", num: 11, typ: typeMessage, of: "Event", many: true},
	},
	"RangeResponse": {
		{name: "header", num: 1, typ: typeMessage, of: "ResponseHeader"},
		{name: "kvs", num: 2, typ: typeMessage, of: "KeyValue", many: true},
		{name: "more", num: 3, typ: typeBool},
		{name: "count", num: 4, typ: typeInt64},
	},
}

// etcdFile makes protobuf's description of the messages.
func etcdFile(f *testing.F) protoreflect.FileDescriptor {
	f.Helper()
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("etcd.proto"), Package: proto.String("e"), Syntax: proto.String("proto3")}
	for name, fields := range etcdMessages {
		m := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		for _, x := range fields {
			d := &descriptorpb.FieldDescriptorProto{Name: proto.String(x.name), Number: proto.Int32(x.num), Type: x.typ.Enum()}
			d.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
			if x.many {
				d.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
			}
			if x.of != "" {
				d.TypeName = proto.String(".e." + x.of)
			}
			m.Field = append(m.Field, d)
		}
		file.MessageType = append(file.MessageType, m)
	}
	made, err := protodesc.NewFile(file, nil)
	if err != nil {
		f.Fatal(err)
	}
	return made
}

// dynamic is a message as protobuf reads it.
type dynamic struct{ protoreflect.Message }

func (d dynamic) get(name protoreflect.Name) protoreflect.Value {
	return d.Get(d.Descriptor().Fields().ByName(name))
}

func (d dynamic) sub(name protoreflect.Name) dynamic { return dynamic{d.get(name).Message()} }

func (d dynamic) header() etcdwatch.Header {
	h := d.sub("header")
	return etcdwatch.Header{
		ClusterID: h.get("cluster_id").Uint(),
		MemberID:  h.get("member_id").Uint(),
		Revision:  h.get("revision").Int(),
		Term:      h.get("raft_term").Uint(),
	}
}

func (d dynamic) is(kv etcdwatch.KV) bool {
	return bytes.Equal(d.get("key").Bytes(), kv.Key) && bytes.Equal(d.get("value").Bytes(), kv.Value) &&
		d.get("mod_revision").Int() == kv.ModRevision
}

func etcdSeeds(f *testing.F) {
	f.Helper()
	const (
		header = "\x0a\x06\x08\x05\x10\x07\x18\x29"
		kv     = "\x0a\x01a\x10\x04\x18\x29\x2a\x01x\x30\x63"
		event  = "\x5a\x0e\x12\x0c" + kv
	)
	for _, seed := range []string{
		header,
		header + "\x18\x01",
		header + "\x20\x01\x28\x55\x32\x02no",
		header + "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		header + event + "\x5a\x07\x08\x01\x12\x03\x0a\x01a",
		header + "\x12\x0c" + kv + "\x18\x01\x20\x01",
		header + "\x12\x0c" + kv + "\x12\x0c" + kv,
		header + "\x38\x01" + event,
		header + "\x5a\x03\x08\x81\x02",                                            // a type beyond those that there are
		header + "\x12\x05\x2a\x01x\x28\x01" + "\x5a\x07\x12\x05\x2a\x01x\x28\x01", // another type of a known number
	} {
		f.Add([]byte(seed))
		f.Add([]byte(seed + seed))                       // fields repeated: messages merge
		f.Add([]byte(seed + "\x7b\x08\x01\x33\x34\x7c")) // unknown nested group
		f.Add([]byte(seed[:len(seed)-1]))
	}
	f.Add([]byte("\x5a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x08\x01\x5d\x01\x02\x03\x04\x19\x01\x02\x03\x04\x05\x06\x07\x08")) // known numbers, other types
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Add([]byte("\x98\x98\x98\x98\x30\x30")) // a field number beyond those that there are
}

// FuzzEtcdWatch decodes the same bytes with protobuf and with ours: both fail, or both read the
// same.
func FuzzEtcdWatch(f *testing.F) {
	etcdSeeds(f)
	descriptor := etcdFile(f).Messages().ByName("WatchResponse")
	f.Fuzz(func(t *testing.T, b []byte) {
		m := dynamicpb.NewMessage(descriptor)
		wantErr := proto.Unmarshal(b, m)
		got, gotErr := etcdwatch.DecodeWatch(b)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("protobuf says %v, ours says %v", wantErr, gotErr)
		}
		if wantErr != nil {
			return
		}
		want := dynamic{m}
		events := want.get("events").List()
		same := got.Header == want.header() &&
			got.Created == want.get("created").Bool() &&
			got.Canceled == want.get("canceled").Bool() &&
			got.CompactRevision == want.get("compact_revision").Int() &&
			bytes.Equal(got.Reason, want.get("cancel_reason").Bytes()) &&
			len(got.Events) == events.Len()
		for i := 0; same && i < events.Len(); i++ {
			e := dynamic{events.Get(i).Message()}
			same = int64(got.Events[i].Type) == e.get("type").Int() && e.sub("kv").is(got.Events[i].KV)
		}
		if !same {
			t.Fatalf("protobuf reads %v, ours reads %+v", m, got)
		}
	})
}

// FuzzEtcdRange is FuzzEtcdWatch for the answers to a Range.
func FuzzEtcdRange(f *testing.F) {
	etcdSeeds(f)
	descriptor := etcdFile(f).Messages().ByName("RangeResponse")
	f.Fuzz(func(t *testing.T, b []byte) {
		m := dynamicpb.NewMessage(descriptor)
		wantErr := proto.Unmarshal(b, m)
		got, gotErr := etcdwatch.DecodeRange(b)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("protobuf says %v, ours says %v", wantErr, gotErr)
		}
		if wantErr != nil {
			return
		}
		want := dynamic{m}
		kvs := want.get("kvs").List()
		same := got.Header == want.header() && len(got.KVs) == kvs.Len()
		for i := 0; same && i < kvs.Len(); i++ {
			same = dynamic{kvs.Get(i).Message()}.is(got.KVs[i])
		}
		if !same {
			t.Fatalf("protobuf reads %v, ours reads %+v", m, got)
		}
	})
}
