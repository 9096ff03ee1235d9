package fuzz

import (
	"testing"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/internal/wire"
)

// FuzzShare shares out any answer that passes the check: the timestamps rise in
// steps of 1<<suffix bits, end with the answer's own, and stay within its
// physical time.
func FuzzShare(f *testing.F) {
	f.Add(int64(1), int64(0), uint32(1), uint32(0))
	f.Add(int64(1_700_000_000_000), int64(262_143), uint32(10_000), uint32(4))
	f.Add(int64(1<<46-1), int64(9_999), uint32(10_000), uint32(0))
	f.Fuzz(func(t *testing.T, physical, logical int64, count, bits uint32) {
		answer := wire.Response{Physical: physical, Logical: logical, Count: count, SuffixBits: bits, HasTime: true}
		if count == 0 || count > batch.MaxCount || answer.Check(count, 0) != nil {
			return
		}
		granted := batch.Share(physical, logical, count, bits)
		for i := range int(count) {
			ts := granted.At(i)
			if int64(ts>>18) != physical {
				t.Fatalf("timestamp %d has physical time %d, want %d", i, ts>>18, physical)
			}
			if i > 0 && ts-granted.At(i-1) != 1<<bits {
				t.Fatalf("timestamps %d and %d are %d apart, want %d", i-1, i, ts-granted.At(i-1), 1<<bits)
			}
		}
		if last := granted.At(int(count) - 1); int64(last&(1<<18-1)) != logical {
			t.Fatalf("the last timestamp has logical time %d, want %d", last&(1<<18-1), logical)
		}
	})
}

// FuzzBatch fills and filters: no request is lost, doubled or moved out of its
// order.
func FuzzBatch(f *testing.F) {
	f.Add(uint16(100), uint8(3))
	f.Add(uint16(10_000), uint8(1))
	f.Add(uint16(20_000), uint8(255))
	f.Fuzz(func(t *testing.T, n uint16, every uint8) {
		var b batch.Batch[int]
		next := 0
		b.Fill(func(room []int) int {
			taken := 0
			for taken < len(room) && next < int(n) {
				room[taken] = next
				taken, next = taken+1, next+1
			}
			return taken
		})
		want := min(int(n), batch.MaxCount)
		if b.Len() != want {
			t.Fatalf("filled %d, want %d", b.Len(), want)
		}
		keep := func(i int) bool { return every == 0 || i%int(every) != 0 }
		b.Filter(keep)
		got := b.Requests()
		for k := range want {
			if !keep(k) {
				continue
			}
			if len(got) == 0 || got[0] != k {
				t.Fatalf("request %d is missing or out of order", k)
			}
			got = got[1:]
		}
		if len(got) != 0 {
			t.Fatalf("%d requests too many", len(got))
		}
	})
}
