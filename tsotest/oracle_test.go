package tsotest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// fixedClock is a clock that only a test moves.
func fixedClock(ms *int64) func() time.Time {
	return func() time.Time { return time.UnixMilli(*ms) }
}

func TestOracle_OverflowBorrowsTheNextMillisecond(t *testing.T) {
	now := int64(1000)
	o := newOracle(fixedClock(&now))
	first, err := o.next(o.global, maxLogical-1)
	require.NoError(t, err)
	require.Equal(t, stamps{1000, maxLogical - 1, 0}, first)
	second, err := o.next(o.global, 1)
	require.NoError(t, err)
	require.Equal(t, stamps{1001, 1, 0}, second)
}

func TestOracle_ClockGoesBack(t *testing.T) {
	now := int64(1000)
	o := newOracle(fixedClock(&now))
	_, err := o.next(o.global, 1)
	require.NoError(t, err)
	now = 10
	got, err := o.next(o.global, 1)
	require.NoError(t, err)
	require.Equal(t, stamps{1000, 2, 0}, got)
}

func TestOracle_CountLimits(t *testing.T) {
	o := newOracle(time.Now)
	_, err := o.next(o.global, 0)
	require.ErrorContains(t, err, "tso count should be positive")
	_, err = o.next(o.global, maxLogical)
	require.ErrorContains(t, err, "maximum number of retries exceeded")
	_, err = o.local("dc-1")
	require.NoError(t, err)
	_, err = o.next(o.global, maxLogical/2)
	require.Error(t, err, "suffix bits take from the room")
}

func TestOracle_SuffixBits(t *testing.T) {
	o := newOracle(time.Now)
	for i, want := range []uint32{1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4} {
		sc, err := o.local(string(rune('a' + i)))
		require.NoError(t, err)
		require.Equal(t, want, o.bits)
		got, err := o.next(sc, 1)
		require.NoError(t, err)
		require.EqualValues(t, i+1, got.logical&(1<<want-1))
	}
	_, err := o.local("one too many")
	require.ErrorContains(t, err, "no suffix left")
}

// TestOracle_Model compares any order of requests, new dc-locations and clock
// moves with what PD promises: unique over all scopes, increasing in each,
// global above every local before it and below every local after.
func TestOracle_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := int64(1000)
		o := newOracle(fixedClock(&now))
		seen := map[uint64]bool{}
		largest := map[*scope]uint64{}
		scopes := []*scope{o.global}
		t.Repeat(map[string]func(*rapid.T){
			"dc": func(t *rapid.T) {
				if len(scopes) > 15 {
					t.Skip()
				}
				sc, err := o.local(string(rune('a' + len(scopes))))
				require.NoError(t, err)
				scopes = append(scopes, sc)
			},
			"clock": func(t *rapid.T) { now += rapid.Int64Range(-3, 3).Draw(t, "ms") },
			"next": func(t *rapid.T) {
				sc := rapid.SampledFrom(scopes).Draw(t, "scope")
				n := rapid.SampledFrom([]uint32{1, 2, 7, 100}).Draw(t, "count")
				if rapid.IntRange(0, 9).Draw(t, "big") == 0 {
					n = maxLogical>>o.bits - 1
					n -= min(n-1, 1<<10)
				}
				got, err := o.next(sc, n)
				require.NoError(t, err)
				require.Less(t, got.logical, int64(maxLogical))
				last := uint64(got.physical)<<logicalBits + uint64(got.logical)
				first := last - uint64(n-1)<<got.bits
				require.Greater(t, int64(first&(maxLogical-1)), int64(0), "crosses a millisecond")
				require.Greater(t, first, largest[sc])
				require.Greater(t, first, largest[o.global])
				for other, l := range largest {
					require.True(t, sc != o.global || first > l, "global below %s", other.name)
				}
				largest[sc] = last
				// Of a big run only the ends: it lies in one millisecond of its own.
				step := uint64(1) << got.bits
				if n > 100 {
					step = last - first
				}
				for ts := first; ts <= last; ts += step {
					require.False(t, seen[ts], "twice: %d", ts)
					seen[ts] = true
				}
			},
		})
	})
}

func TestOracle_UniqueUnderConcurrency(t *testing.T) {
	o := newOracle(time.Now)
	a, err := o.local("a")
	require.NoError(t, err)
	b, err := o.local("b")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for i := range 6 {
		sc := []*scope{o.global, a, b}[i%3]
		wg.Go(func() {
			for range 2000 {
				got, err := o.next(sc, 1)
				ts := uint64(got.physical)<<logicalBits + uint64(got.logical)
				mu.Lock()
				twice := seen[ts]
				seen[ts] = true
				mu.Unlock()
				if err != nil || twice {
					t.Errorf("%v, handed out twice: %v", err, twice)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 12000)
	require.Equal(t, 3, len(o.largest()))
}
