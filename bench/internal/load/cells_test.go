package load

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCells_TopIsCloseAbove(t *testing.T) {
	for shift := range 37 {
		for range 200 {
			d := time.Duration(1<<shift + rand.Int64N(1<<shift))
			cell := cellOf(d)
			if cell == cellCount-1 {
				continue
			}
			top := cellTop(cell)
			require.GreaterOrEqual(t, top, d)
			require.LessOrEqual(t, float64(top-d), float64(d)/(1<<cellBits), "for %v", d)
		}
	}
}

func TestCells_EachEndsWhereTheNextBegins(t *testing.T) {
	for cell := range cellCount - 1 {
		top := cellTop(cell)
		require.Equal(t, cell, cellOf(top))
		require.Equal(t, cell+1, cellOf(top+1))
	}
}

func TestCells_TakeWhatIsOutOfRange(t *testing.T) {
	require.Equal(t, 0, cellOf(-time.Second))
	require.Equal(t, 0, cellOf(0))
	require.Equal(t, cellCount-1, cellOf(time.Hour))
	require.Equal(t, cellCount-1, cellOf(math.MaxInt64))
	require.Greater(t, cellTop(cellCount-1), time.Minute)
}
