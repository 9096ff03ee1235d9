package history

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// run lets several goroutines take timestamps from take and record them.
func run(r *Recorder, goroutines, calls int, take func() uint64) {
	var all sync.WaitGroup
	for range goroutines {
		log := r.NewLog(calls)
		all.Go(func() {
			for range calls {
				start := log.Start()
				log.End(start, take())
			}
		})
	}
	all.Wait()
}

func TestRecorder_TrueConcurrentHistoryPasses(t *testing.T) {
	for name, r := range map[string]*Recorder{"time": NewRecorder(), "ticks": NewTickRecorder()} {
		t.Run(name, func(t *testing.T) {
			var oracle atomic.Uint64
			run(r, 8, 20_000, func() uint64 { return oracle.Add(1) })
			require.Len(t, r.Calls(), 160_000)
			require.NoError(t, Err(r.Check()))
		})
	}
}

func TestRecorder_BrokenOracleIsCaught(t *testing.T) {
	for name, c := range map[string]struct {
		fault uint64
		kind  Kind
	}{
		"one step back":  {1 << 30, KindOrder},
		"same one twice": {0, KindDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			var oracle atomic.Uint64
			oracle.Store(1 << 40)
			r := NewTickRecorder()
			run(r, 8, 2_000, func() uint64 {
				n := oracle.Add(1)
				switch {
				case n != 1<<40+9_000:
					return n
				case c.fault == 0:
					return n - 1
				}
				return n - c.fault
			})
			require.Positive(t, kinds(r.Check())[c.kind])
			require.Error(t, Err(r.Check()))
		})
	}
}

func TestLog_EndDoesNotAllocate(t *testing.T) {
	log := NewRecorder().NewLog(2_000)
	require.Zero(t, testing.AllocsPerRun(1_000, func() { log.End(log.Start(), 1) }))
}

func TestLog_KeepsWhatItIsGiven(t *testing.T) {
	r := NewTickRecorder()
	log := r.NewLog(0)
	log.EndScope(log.Start(), 7, 3)
	log.Add(Call{5, 6, 8, Global})
	require.Equal(t, []Call{{1, 2, 7, 3}, {5, 6, 8, Global}}, r.Calls())
}

func TestErr_ShowsTheFirstFew(t *testing.T) {
	require.NoError(t, Err(nil))
	err := Err(CreationOrder([]uint64{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}))
	require.ErrorContains(t, err, "9 violations")
	require.ErrorContains(t, err, "...")
	require.ErrorContains(t, Err([]Violation{{KindMalformed, Call{}, Call{}}}), "malformed")
}

func BenchmarkLog(b *testing.B) {
	log := NewRecorder().NewLog(b.N)
	for i := range b.N {
		log.End(log.Start(), uint64(i))
	}
}
