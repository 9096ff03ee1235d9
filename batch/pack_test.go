package batch

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// weighted is a request for several timestamps, or for none.
type weighted struct{ id, weight int }

// pack makes RPCs of b as a lane does: each gets what Pack leaves in front, and the rest is
// next. It returns the requests of each RPC.
func pack(t *rapid.T, b *Batch[*weighted], dropped map[int]bool) (rpcs [][]*weighted) {
	for {
		n, count := b.Pack(func(r *weighted) int {
			if r.weight == 0 {
				if dropped[r.id] {
					t.Fatalf("request %d was dropped before", r.id)
				}
				dropped[r.id] = true
			}
			return r.weight
		})
		rest := &Batch[*weighted]{}
		b.Split(n, rest)
		if b.Len() != n {
			t.Fatalf("%d requests in front, want %d", b.Len(), n)
		}
		for _, left := range b.requests[n:cap(b.requests)] {
			if left != nil {
				t.Fatalf("request %d is referred to still", left.id)
			}
		}
		sum := 0
		for _, r := range b.Requests() {
			sum += r.weight
		}
		if sum != count || sum > MaxCount {
			t.Fatalf("an RPC for %d timestamps, said to be %d", sum, count)
		}
		if n > 0 {
			rpcs = append(rpcs, append([]*weighted(nil), b.Requests()...))
		}
		if rest.Len() == 0 {
			return rpcs
		}
		if first := rest.Requests()[0]; sum+first.weight <= MaxCount {
			t.Fatalf("request %d would have fit", first.id)
		}
		b = rest
	}
}

// Requests of any weights: each is in one RPC or dropped once, they stay in order, no RPC
// asks for more than it may, and none leaves out what it has room for.
func TestPackAndSplitKeepAllRequestsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.OneOf(rapid.SampledFrom([]int{0, 1, 1, 1, MaxCount - 1, MaxCount}), rapid.IntRange(0, MaxCount))
		weights := rapid.SliceOfN(weight, 0, 200).Draw(t, "weights")
		var want []*weighted
		var b Batch[*weighted]
		next := 0
		b.Fill(func(room []*weighted) int {
			n := 0
			for ; n < len(room) && next < len(weights); n++ {
				room[n] = &weighted{next, weights[next]}
				if weights[next] > 0 {
					want = append(want, room[n])
				}
				next++
			}
			return n
		})
		dropped := make(map[int]bool)
		var got []*weighted
		for _, rpc := range pack(t, &b, dropped) {
			got = append(got, rpc...)
		}
		if len(got) != len(want) || len(got)+len(dropped) != len(weights) {
			t.Fatalf("%d requests in RPCs and %d dropped, of %d", len(got), len(dropped), len(weights))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("request %d in place of %d", got[i].id, want[i].id)
			}
		}
	})
}

func TestPackLeavesAFullBatchOfSinglesTogether(t *testing.T) {
	var b Batch[int]
	b.Fill(from(0, MaxCount))
	n, count := b.Pack(func(int) int { return 1 })
	require.Equal(t, []int{MaxCount, MaxCount}, []int{n, count})
	require.Equal(t, numbers(0, MaxCount), b.Requests())
}

func TestSplitUsesTheRoomThatThereIs(t *testing.T) {
	var b, rest Batch[int]
	rest.Fill(from(0, 100))
	rest.Reset()
	before := cap(rest.requests)
	b.Fill(from(0, 80))
	b.Split(30, &rest)
	require.Equal(t, numbers(0, 30), b.Requests())
	require.Equal(t, numbers(30, 80), rest.Requests())
	require.Equal(t, before, cap(rest.requests))
	require.Equal(t, 10, rest.Fill(from(80, 90)), "and fills up as any")
	require.Equal(t, numbers(30, 90), rest.Requests())
}

// BenchmarkPack is what a batch of singles pays for the look at weights.
func BenchmarkPack(b *testing.B) {
	var requests Batch[*weighted]
	one := &weighted{weight: 1}
	taken := 0
	requests.Fill(func(room []*weighted) int {
		n := 0
		for ; n < len(room) && taken < 512; n++ {
			room[n] = one
			taken++
		}
		return n
	})
	for b.Loop() {
		requests.Pack(func(r *weighted) int { return r.weight })
	}
}
