//go:build !race

package batch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWarmBatchDoesNotAllocate(t *testing.T) {
	var b Batch[int]
	take := func(room []int) int { return min(len(room), 100) }
	keep := func(i int) bool { return i >= 0 }
	weigh := func(i int) int { return i + 200 }
	var rest Batch[int]
	b.Fill(take)
	sum := uint64(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		b.Reset()
		b.Fill(take)
		b.Filter(keep)
		n, _ := b.Pack(weigh)
		b.Split(n, &rest)
		if b.Claim(b.Launch()) {
			r := Share(1, 1<<17, uint32(b.Len()), 0)
			for i := range b.Requests() {
				sum += r.At(i)
			}
		}
	}))
	require.NotZero(t, sum)
}
