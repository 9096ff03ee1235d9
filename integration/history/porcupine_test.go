// Package history_test asks an independent checker of linearizability whether
// it agrees with package history.
package history_test

import (
	"math/rand/v2"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/internal/history"
)

// oracle is what a timestamp oracle does, one call at a time: each timestamp is
// above the one before.
var oracle = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(last, _, t any) (bool, any) {
		return t.(uint64) > last.(uint64), t
	},
}

// linearizable asks porcupine for its verdict.
func linearizable(calls []history.Call) bool {
	ops := make([]porcupine.Operation, len(calls))
	for i, c := range calls {
		ops[i] = porcupine.Operation{ClientId: i, Call: c.Start, Return: c.End, Output: c.T}
	}
	return porcupine.CheckOperations(oracle, ops)
}

func TestCheck_AgreesWithPorcupine(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	legal, illegal := 0, 0
	for range 20_000 {
		calls := randomHistory(rng)
		found := history.Check(calls)
		require.Equal(t, linearizable(calls), len(found) == 0, "%v: %v", calls, found)
		if len(found) == 0 {
			legal++
		} else {
			illegal++
		}
	}
	t.Logf("%d legal, %d illegal", legal, illegal)
	require.Greater(t, legal, 2_000)
	require.Greater(t, illegal, 2_000)
}

// randomHistory makes a few calls of one scope on a short clock, so that ties,
// duplicates and inversions are as common as clean histories.
func randomHistory(rng *rand.Rand) []history.Call {
	calls := make([]history.Call, 1+rng.IntN(7))
	for i := range calls {
		start := rng.Int64N(24)
		calls[i] = history.Call{
			Start: start,
			End:   start + 1 + rng.Int64N(16),
			T:     1 + uint64(start) + rng.Uint64N(12),
		}
	}
	return calls
}
