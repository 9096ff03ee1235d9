package tso

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSeatIsTakenDemandedAndLeft(t *testing.T) {
	var s seat
	require.False(t, s.taken())
	require.False(t, s.demand(), "nobody is there")
	require.False(t, s.taken(), "a demand takes nothing")

	require.True(t, s.take())
	require.True(t, s.taken())
	require.True(t, s.leave(), "nobody has come")

	require.True(t, s.take())
	require.False(t, s.take(), "somebody is there")
	require.True(t, s.demand())
	require.False(t, s.leave(), "two have come, and are seen at once")
	require.True(t, s.leave())
	require.False(t, s.taken())

	require.True(t, s.take())
	require.True(t, s.demand())
	s.vacate()
	require.False(t, s.taken())
	require.True(t, s.take())
	require.True(t, s.leave(), "what was demanded of the holder before is not kept")
}

// In every order of steps the seat has one holder at most, and the holder does not leave
// without having looked after the last demand.
func TestSeatModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s seat
		held, wanted := false, false
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				require.Equal(t, !held, s.take())
				held, wanted = true, held
			},
			"demand": func(t *rapid.T) {
				require.Equal(t, held, s.demand())
				wanted = held
			},
			"leave": func(t *rapid.T) {
				if !held {
					return
				}
				require.Equal(t, !wanted, s.leave())
				held, wanted = wanted, false
			},
			"vacate": func(*rapid.T) {
				if held {
					s.vacate()
					held, wanted = false, false
				}
			},
			"": func(t *rapid.T) { require.Equal(t, held, s.taken()) },
		})
	})
}

// Work that is published before the seat is asked for is done, whoever does it; and there
// is one who does it at a time.
func TestSeatStressLosesNoWork(t *testing.T) {
	const workers, rounds = 8, 20_000
	var s seat
	var published, done, inside atomic.Int64
	serve := func() {
		require.EqualValues(t, 1, inside.Add(1))
		done.Store(published.Load())
		inside.Add(-1)
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range rounds {
				published.Add(1)
				if s.take() {
					for serve(); !s.leave(); serve() {
					}
				}
				if i%64 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	require.False(t, s.taken())
	require.EqualValues(t, workers*rounds, done.Load())
}
