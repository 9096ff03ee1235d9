//go:build !race

package ring

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPushAndDrainDoNotAllocate(t *testing.T) {
	r := New[*int](64)
	v := new(int)
	var dst [64]*int
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		for range 48 {
			r.TryPush(v)
		}
		r.Drain(dst[:])
	}))
}
