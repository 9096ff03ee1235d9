package ring

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNewRoundsCapacityUpToAPowerOfTwo(t *testing.T) {
	for _, tc := range []struct{ ask, want int }{{-1, 2}, {0, 2}, {1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1000, 1024}, {65536, 65536}} {
		require.Equal(t, tc.want, New[int](tc.ask).Cap(), "capacity for %d", tc.ask)
	}
}

// Each side's word must begin a pair of lines of its own, or producers and the
// consumer invalidate each other's caches with every operation.
func TestLayoutKeepsTheSidesApart(t *testing.T) {
	var r MPSC[*int]
	require.Equal(t, uintptr(0), unsafe.Offsetof(r.table))
	tail, head := unsafe.Offsetof(r.tail), unsafe.Offsetof(r.head)
	require.Equal(t, uintptr(lineSize), tail, "the table has the first pair of lines for itself")
	require.Equal(t, uintptr(lineSize), head-tail)
	require.Equal(t, uintptr(lineSize), unsafe.Sizeof(r)-head)
}

func TestFullAndEmptySaySo(t *testing.T) {
	r := New[int](4)
	var dst [8]int
	require.Zero(t, r.Drain(dst[:]))
	for i := range 4 {
		require.True(t, r.TryPush(i))
		require.Equal(t, i+1, r.Len())
	}
	require.False(t, r.TryPush(4))
	require.Equal(t, 2, r.Drain(dst[:2]))
	require.Equal(t, []int{0, 1}, dst[:2])
	require.True(t, r.TryPush(4))
	require.Equal(t, 3, r.Drain(dst[:]))
	require.Equal(t, []int{2, 3, 4}, dst[:3])
	require.Zero(t, r.Len())
	require.Zero(t, r.Drain(nil))
}

func TestDrainForgetsTheValue(t *testing.T) {
	r := New[*int](2)
	require.True(t, r.TryPush(new(int)))
	var dst [1]*int
	require.Equal(t, 1, r.Drain(dst[:]))
	for i := range uint64(2) {
		s, _ := r.table.Load().at(i)
		require.Nil(t, s.val)
	}
}

// A claimed slot that is not published yet must hide what lies behind it, and
// nothing in front of it.
func TestDrainStopsAtAGap(t *testing.T) {
	r := New[int](8)
	require.True(t, r.TryPush(1))
	gap := r.tail.Load()
	require.True(t, r.tail.CompareAndSwap(gap, gap+1)) // a producer claims and is descheduled
	require.True(t, r.TryPush(3))
	var dst [8]int
	require.Equal(t, 1, r.Drain(dst[:]))
	require.Equal(t, 1, dst[0])
	require.Equal(t, 2, r.Len(), "the claimed place counts, so that its consumer is looked for")
	require.Zero(t, r.Drain(dst[:]))
	s, turn := r.table.Load().at(gap) // and runs again
	s.val = 2
	s.turn.Store(turn)
	require.Equal(t, 2, r.Drain(dst[:]))
	require.Equal(t, []int{2, 3}, dst[:2])
}

// starts are first positions: the usual one, one lap before the positions wrap
// around, and one in the middle of the signed range's edge.
var starts = []uint64{0, math.MaxUint64 - 5, math.MaxInt64 - 5}

func TestRingAgreesWithASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 20).Draw(t, "capacity")
		r := newAt[int](capacity, rapid.SampledFrom(starts).Draw(t, "start"))
		var model []int
		next, grown := 0, false
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				ok := r.TryPush(next)
				if ok != (len(model) < r.Cap()) {
					t.Fatalf("push said %v with %d of %d places taken", ok, len(model), r.Cap())
				}
				if ok {
					model = append(model, next)
				}
				next++
			},
			"drain": func(t *rapid.T) {
				dst := make([]int, rapid.IntRange(0, 25).Draw(t, "room"))
				n := r.Drain(dst)
				if n != min(len(dst), len(model)) {
					t.Fatalf("drained %d of %d into room for %d", n, len(model), len(dst))
				}
				for i := range n {
					if dst[i] != model[i] {
						t.Fatalf("got %d in place %d, want %d", dst[i], i, model[i])
					}
				}
				model = model[n:]
			},
			"grow": func(t *rapid.T) {
				capacity, before := rapid.IntRange(1, 70).Draw(t, "larger"), r.Cap()
				switch ok := r.Grow(capacity); {
				case ok != (capacity > before && !grown):
					t.Fatalf("from %d to %d: %v", before, capacity, ok)
				case ok:
					grown = true
					if r.Cap() < capacity {
						t.Fatalf("capacity %d, want %d", r.Cap(), capacity)
					}
				}
			},
			"": func(t *rapid.T) {
				if r.Len() != len(model) {
					t.Fatalf("length %d, want %d", r.Len(), len(model))
				}
			},
		})
	})
}

// Every value comes out exactly once, each producer's in its order, while the
// consumer's role moves between goroutines as the send seat moves it: whoever
// has pushed tries to become the consumer.
func TestEachValueOnceInItsProducersOrder(t *testing.T) {
	for _, procs := range []int{1, 2, 4, 8} {
		for _, start := range starts {
			t.Run(fmt.Sprintf("procs=%d/start=%#x", procs, start), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				hammer(t, newAt[uint64](64, start), 4000, math.MaxInt64)
			})
		}
	}
}

// The consumer's role grows the ring in the middle of all pushes.
func TestEachValueOnceWhileTheRingGrows(t *testing.T) {
	for _, procs := range []int{1, 2, 8} {
		for _, start := range starts {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			for after := range int64(100) {
				hammer(t, newAt[uint64](4, start), 100, 7*after)
			}
		}
	}
}

// hammer has the ring grow when so many values have been taken.
func hammer(t *testing.T, r *MPSC[uint64], each uint64, growsAfter int64) {
	const producers = 8
	var (
		seat     atomic.Bool
		taken    atomic.Int64 // written by the consumer's role alone
		sum      atomic.Uint64
		fulls    atomic.Int64
		handOver atomic.Int64
		last     [producers]uint64
		owner    = -1
		dst      [48]uint64
	)
	consume := func(who int) {
		for r.Len() > 0 && seat.CompareAndSwap(false, true) {
			if owner != who {
				owner = who
				handOver.Add(1)
			}
			n := r.Drain(dst[:])
			for _, v := range dst[:n] {
				from, seq := v>>32, v&math.MaxUint32
				if seq != last[from]+1 {
					t.Errorf("producer %d: got %d after %d", from, seq, last[from])
				}
				last[from] = seq
				sum.Add(seq)
			}
			if taken.Add(int64(n)) >= growsAfter {
				r.Grow(32)
			}
			seat.Store(false)
			if n == 0 {
				return // a gap: its producer looks again after publishing
			}
		}
	}
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := uint64(1); i <= each; i++ {
				for !r.TryPush(uint64(p)<<32 | i) {
					fulls.Add(1)
					consume(p)
					runtime.Gosched()
				}
				if i%97 == 0 || i == each {
					consume(p)
				}
			}
		})
	}
	wg.Wait()
	consume(producers)
	require.EqualValues(t, producers*each, taken.Load())
	require.Equal(t, producers*(each*(each+1)/2), sum.Load())
	require.Zero(t, r.Len())
	if growsAfter < math.MaxInt64 {
		require.Equal(t, 32, r.Cap())
		return
	}
	require.NotZero(t, fulls.Load(), "the ring was never full: the test has lost its edge")
	require.Greater(t, handOver.Load(), int64(producers/2), "the consumer's role never moved")
}
