package soak

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latencies are counted in cells: each power of two of nanoseconds is cut into
// 2^cellBits, so that one is known to 6 %. They reach to 68 s.
const (
	cellBits  = 4
	cellCount = (37 - cellBits) << cellBits
)

type histogram struct{ cells [cellCount]atomic.Int64 }

func (h *histogram) add(d time.Duration) {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-cellBits-1, 0)
	h.cells[min(shift<<cellBits+int(n>>shift), cellCount-1)].Add(1)
}

// takeP99 returns the 99th percentile of what has been added since it was last called, 0
// of nothing.
func (h *histogram) takeP99() time.Duration {
	var taken [cellCount]int64
	var all, below int64
	for i := range h.cells {
		taken[i] = h.cells[i].Swap(0)
		all += taken[i]
	}
	for i, n := range taken {
		if below += n; n > 0 && 100*below >= 99*all {
			return cellTop(i)
		}
	}
	return 0
}

// cellTop returns the longest latency that is counted in a cell.
func cellTop(cell int) time.Duration {
	shift := max(cell>>cellBits-1, 0)
	return time.Duration((cell-shift<<cellBits+1)<<shift - 1)
}
