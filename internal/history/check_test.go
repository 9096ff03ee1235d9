package history

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func kinds(violations []Violation) map[Kind]int {
	n := make(map[Kind]int)
	for _, v := range violations {
		n[v.Kind]++
	}
	return n
}

func TestCheck_AcceptsTrueHistories(t *testing.T) {
	for name, calls := range map[string][]Call{
		"empty":               nil,
		"one":                 {{0, 1, 5, Global}},
		"in turn":             {{0, 1, 5, Global}, {2, 3, 6, Global}},
		"overlapping, either": {{0, 9, 6, Global}, {1, 8, 5, Global}},
		"touching":            {{0, 5, 6, Global}, {5, 8, 5, Global}},
		"recorded in any way": {{4, 5, 7, Global}, {0, 1, 5, Global}, {2, 3, 6, Global}},
		"two local scopes":    {{0, 1, 9, 1}, {2, 3, 5, 2}},
	} {
		t.Run(name, func(t *testing.T) { require.Empty(t, Check(calls)) })
	}
}

func TestCheck_CatchesOrder(t *testing.T) {
	calls := []Call{{0, 1, 5, Global}, {2, 3, 9, Global}, {2, 6, 7, Global}, {4, 5, 8, Global}}
	got := Check(calls)
	require.Equal(t, []Violation{{KindOrder, calls[1], calls[3]}}, got)
	require.Contains(t, got[0].String(), "ended 1 ns before, T behind by 1")
}

func TestCheck_FloorOutlivesItsCall(t *testing.T) {
	// The call that must be exceeded ended long ago, with many smaller ones since.
	calls := []Call{{0, 1, 100, Global}}
	for i := int64(1); i < 50; i++ {
		calls = append(calls, Call{0, 10 * i, uint64(i), Global})
	}
	calls = append(calls, Call{1000, 1001, 99, Global})
	require.Equal(t, []Violation{{KindOrder, calls[0], calls[len(calls)-1]}}, Check(calls))
}

func TestCheck_CatchesDuplicates(t *testing.T) {
	calls := []Call{{0, 9, 5, Global}, {1, 8, 5, 1}, {2, 7, 6, Global}}
	require.Equal(t, []Violation{{KindDuplicate, calls[0], calls[1]}}, Check(calls))
	require.Equal(t, map[Kind]int{KindOrder: 1, KindDuplicate: 1},
		kinds(Check([]Call{{0, 1, 5, Global}, {2, 3, 5, Global}})))
}

func TestCheck_CatchesMalformed(t *testing.T) {
	require.Equal(t, map[Kind]int{KindMalformed: 1}, kinds(Check([]Call{{5, 4, 1, Global}})))
}

func TestCheckOrder_Scopes(t *testing.T) {
	for _, c := range []struct {
		name            string
		first, second   Scope
		contract, perSc int
	}{
		{"global, global", Global, Global, 1, 1},
		{"global, local", Global, 1, 1, 0},
		{"local, global", 1, Global, 1, 0},
		{"local, same local", 1, 1, 1, 1},
		{"local, other local", 1, 2, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := []Call{{0, 1, 9, c.first}, {2, 3, 5, c.second}}
			require.Len(t, CheckOrder(calls, Contract), c.contract)
			require.Len(t, CheckOrder(calls, PerScope), c.perSc)
			require.Len(t, CheckOrder(calls, OneDomain), 1)
		})
	}
}

func TestCreationOrder_CatchesInversion(t *testing.T) {
	require.Empty(t, CreationOrder(nil))
	require.Empty(t, CreationOrder([]uint64{1, 2, 7}))
	for _, ts := range [][]uint64{{1, 3, 2, 4}, {1, 2, 2, 3}} {
		got := CreationOrder(ts)
		require.Len(t, got, 1)
		require.Equal(t, KindCreation, got[0].Kind)
		require.Equal(t, int64(2), got[0].Second.Start)
		require.Contains(t, got[0].String(), "future 2 has T 2")
	}
}

// bound is the definition of the three orders, written out once more: which pairs
// of scopes are ordered.
func bound(a, b Scope, order Order) bool {
	return a == b || order == OneDomain || order == Contract && (a == Global || b == Global)
}

// reference returns how many calls are at fault for order and for uniqueness.
func reference(calls []Call, order Order) (misplaced, repeated int) {
	for i, c := range calls {
		late, again := false, false
		for j, d := range calls {
			late = late || d.End < c.Start && d.T >= c.T && bound(d.Scope, c.Scope, order)
			again = again || j < i && d.T == c.T
		}
		if late {
			misplaced++
		}
		if again {
			repeated++
		}
	}
	return misplaced, repeated
}

func TestCheckOrder_AgreesWithReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	clean, broken := 0, 0
	for range 20_000 {
		calls := randomHistory(rng)
		order := Order(rng.IntN(3))
		misplaced, repeated := reference(calls, order)
		got := kinds(CheckOrder(calls, order))
		require.Equal(t, misplaced, got[KindOrder], "%v: %v", order, calls)
		require.Equal(t, repeated, got[KindDuplicate], "%v", calls)
		if misplaced+repeated == 0 {
			clean++
		} else {
			broken++
		}
	}
	require.Greater(t, clean, 1000)
	require.Greater(t, broken, 1000)
}

// randomHistory makes a few short calls on a short clock, so that ties,
// duplicates and violations are all common, and clean histories too.
func randomHistory(rng *rand.Rand) []Call {
	calls := make([]Call, rng.IntN(8))
	for i := range calls {
		start := rng.Int64N(20)
		calls[i] = Call{start, start + rng.Int64N(20), uint64(start) + rng.Uint64N(12), Scope(rng.IntN(3))}
	}
	return calls
}

func BenchmarkCheck(b *testing.B) {
	calls := make([]Call, 1_000_000)
	for i := range calls {
		calls[i] = Call{int64(i), int64(i) + 64, uint64(i), Global}
	}
	rand.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	for b.Loop() {
		if len(Check(calls)) != 0 {
			b.Fatal("a true history was refused")
		}
	}
}
