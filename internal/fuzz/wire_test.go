// Package fuzz holds the fuzz targets of the whole project, with their seeds.
//
// `go test` runs the seeds, `make fuzz` runs each target for a while.
package fuzz

import (
	"bytes"
	"testing"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/valyala/bytebufferpool"

	"github.com/tsoring/tso/internal/wire"
)

func responseSeeds(f *testing.F) {
	for _, m := range []*pdpb.TsoResponse{
		{},
		{Header: &pdpb.ResponseHeader{ClusterId: 7}, Count: 1, Timestamp: &pdpb.Timestamp{Physical: 1 << 40, Logical: 1}},
		{Header: &pdpb.ResponseHeader{ClusterId: 1<<63 + 5}, Count: 10_000, Timestamp: &pdpb.Timestamp{Physical: 1_700_000_000_000, Logical: 262_143, SuffixBits: 4}},
		{Header: &pdpb.ResponseHeader{Error: &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "is not leader"}}},
		{Count: 1, Timestamp: &pdpb.Timestamp{Physical: -1, Logical: -1}},
	} {
		b, err := m.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))                                    // fields repeated: messages merge
		f.Add(append(b, 0x22, 0x01, 0xff))                        // unknown length-delimited field
		f.Add(append(b, 0x2b, 0x08, 0x01, 0x33, 0x34, 0x2c))      // unknown nested group
		f.Add(append(b, 0x2b))                                    // unfinished group
		f.Add(append(b, 0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7)) // overlong varint
	}
	f.Add([]byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Add([]byte{0x00, 0x01})
	f.Add([]byte{0x0e})
}

// FuzzResponse decodes the same bytes with kvproto and with ours: both fail, or
// both read the same. The Response is a used one, so that nothing of an earlier
// answer may shine through.
func FuzzResponse(f *testing.F) {
	responseSeeds(f)
	var used wire.Response
	f.Fuzz(func(t *testing.T, b []byte) {
		var want pdpb.TsoResponse
		wantErr := want.Unmarshal(b)
		gotErr := used.Decode(b)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("kvproto says %v, ours says %v", wantErr, gotErr)
		}
		if wantErr != nil {
			return
		}
		e, ts := want.GetHeader().GetError(), want.GetTimestamp()
		same := used.ClusterID == want.GetHeader().GetClusterId() &&
			used.HasError == (e != nil) &&
			used.ErrType == int32(e.GetType()) &&
			string(used.ErrMessage) == e.GetMessage() &&
			used.Count == want.GetCount() &&
			used.HasTime == (ts != nil) &&
			used.Physical == ts.GetPhysical() &&
			used.Logical == ts.GetLogical() &&
			used.SuffixBits == ts.GetSuffixBits()
		if !same {
			t.Fatalf("kvproto reads %v, ours reads %+v", &want, used)
		}
	})
}

// FuzzCheck asserts that no answer which passes the check can yield a timestamp
// outside of what a caller is promised.
func FuzzCheck(f *testing.F) {
	f.Add(int64(1), int64(0), uint32(1), uint32(0), uint32(1))
	f.Add(int64(1<<46-1), int64(262_143), uint32(10_000), uint32(4), uint32(10_000))
	f.Add(int64(1), int64(15), uint32(2), uint32(4), uint32(2))
	f.Add(int64(-1), int64(-1), uint32(0), uint32(64), uint32(1))
	f.Fuzz(func(t *testing.T, physical, logical int64, count, bits, asked uint32) {
		if asked == 0 || asked > 10_000 {
			return
		}
		r := wire.Response{Physical: physical, Logical: logical, Count: count, SuffixBits: bits, HasTime: true}
		if r.Check(asked, 1) != nil {
			return
		}
		first := logical - int64(asked-1)<<bits
		if count != asked || physical <= 0 || first < 0 || logical >= 1<<18 || bits > 4 {
			t.Fatalf("%+v passed for %d", r, asked)
		}
	})
}

// FuzzRequest encodes with ours and with kvproto: the same bytes, also from a
// buffer that has been used before.
func FuzzRequest(f *testing.F) {
	f.Add(uint64(0), uint32(0), "", uint32(1))
	f.Add(uint64(7), uint32(1), "global", uint32(127))
	f.Add(uint64(1<<63), uint32(10_000), "dc-1", uint32(128))
	f.Fuzz(func(t *testing.T, clusterID uint64, count uint32, dc string, before uint32) {
		var pool bytebufferpool.Pool
		var r wire.Request
		template := wire.NewTemplate(clusterID, dc)
		for _, n := range []uint32{before, count} {
			want, err := (&pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: clusterID}, Count: n, DcLocation: dc}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Set(&pool, template, n); err != nil {
				t.Fatal(err)
			}
			slice, err := wire.Codec{}.Marshal(&r)
			if err != nil {
				t.Fatal(err)
			}
			if got := slice.Materialize(); !bytes.Equal(got, want) {
				t.Fatalf("count %d: got %x, want %x", n, got, want)
			}
			slice.Free() // as gRPC does when it has written them
		}
	})
}
