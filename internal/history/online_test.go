package history

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// ms returns the timestamp with the given parts.
func ms(physical, logical uint64) uint64 { return physical<<logicalBits | logical }

func TestOnline_TrueConcurrentHistoryPasses(t *testing.T) {
	for _, procs := range []int{1, 2, 4, 8} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		o := NewOnline(Contract, 0)
		var oracle atomic.Uint64
		oracle.Store(ms(1_700_000_000_000, 0))
		var all sync.WaitGroup
		for i := range 8 {
			view := o.Scope(Scope(i % 3))
			all.Go(func() {
				for range 20_000 {
					floor := view.Begin()
					view.End(floor, oracle.Add(1))
				}
			})
		}
		all.Wait()
		require.NoError(t, o.Err())
		require.EqualValues(t, 160_000, o.Calls())
		require.Zero(t, o.Unchecked())
	}
}

func TestOnline_CatchesOrder(t *testing.T) {
	o := NewOnline(Contract, 1)
	early := o.Begin()
	require.True(t, o.End(o.Begin(), ms(5, 9)))
	require.True(t, o.End(early, ms(5, 8)), "it overlapped")
	require.False(t, o.End(o.Begin(), ms(5, 7)))
	require.Equal(t, []Violation{{KindOrder, Call{T: ms(5, 9)}, Call{T: ms(5, 7)}}}, o.Violations())
	require.ErrorContains(t, o.Err(), "1 violations in 3 calls")
	require.ErrorContains(t, o.Err(), "T behind by 2")
}

func TestOnline_CatchesDuplicates(t *testing.T) {
	o := NewOnline(Contract, 1)
	floor := o.Begin()
	require.True(t, o.End(floor, ms(5, 9)))
	require.True(t, o.End(floor, ms(6, 9)))
	require.False(t, o.Scope(2).End(floor, ms(5, 9)))
	require.Equal(t, map[Kind]int{KindDuplicate: 1}, kinds(o.Violations()))
}

func TestOnline_ExactlyOneOfTwoRacersHasTheDuplicate(t *testing.T) {
	o := NewOnline(PerScope, 1)
	const n = 20_000
	var wins atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range uint64(n) {
				if o.End(0, ms(9, i+1)) {
					wins.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, n, wins.Load())
	require.EqualValues(t, 3*n, o.Faults())
	require.Len(t, o.Violations(), onlineKept)
}

func TestOnline_Scopes(t *testing.T) {
	for _, order := range []Order{Contract, PerScope, OneDomain} {
		for first := range Scope(3) {
			for second := range Scope(3) {
				o := NewOnline(order, 1)
				a, b := o.Scope(first), o.Scope(second)
				a.End(a.Begin(), ms(9, 0))
				require.Equal(t, !bound(first, second, order), b.End(b.Begin(), ms(8, 0)),
					"order %v: %v, then %v", order, first, second)
			}
		}
	}
}

func TestOnline_WhatIsTooOldIsCounted(t *testing.T) {
	o := NewOnline(PerScope, 1)
	for physical := range uint64(10_000) {
		o.End(0, ms(physical+1, 0))
	}
	require.Zero(t, o.Unchecked())
	o.End(0, ms(1, 0))   // a duplicate, and forgotten
	o.End(0, ms(2, 256)) // none, of the same shard
	require.EqualValues(t, 2, o.Unchecked())
	require.False(t, o.End(0, ms(10_000, 0)), "still in the window")
	require.EqualValues(t, 1, o.Faults())
}

func TestWindow_EachTimestampOnce(t *testing.T) {
	w := newWindow(1 << 20)
	for _, step := range []uint64{1, 16, 257} { // dense; one dc-location's suffix; sparse
		base := ms(1000*step, 0)
		for i := range uint64(100_000) {
			require.Equal(t, firstSeen, w.add(base+i*step))
		}
		require.Equal(t, seenBefore, w.add(base+99_999*step))
	}
}

func BenchmarkOnline(b *testing.B) {
	o := NewOnline(Contract, 0)
	var oracle atomic.Uint64
	oracle.Store(ms(1, 0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			floor := o.Begin()
			o.End(floor, oracle.Add(1))
		}
	})
	if err := o.Err(); err != nil {
		b.Fatal(err)
	}
}
