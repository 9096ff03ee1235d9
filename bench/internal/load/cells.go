package load

import (
	"math/bits"
	"time"
)

// Latencies are counted in cells: each power of two of nanoseconds is cut into
// 2^cellBits of them, so that a latency is known to 0.8 %. They reach to 68 s,
// far beyond the 20 s that a call may take by default.
const (
	cellBits  = 7
	cellCount = (37 - cellBits) << cellBits
)

// cellOf returns the number of the cell that d is counted in. What is too long
// for the last cell is counted there.
func cellOf(d time.Duration) int {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-cellBits-1, 0)
	return min(shift<<cellBits+int(n>>shift), cellCount-1)
}

// cellTop returns the longest latency that is counted in a cell.
func cellTop(cell int) time.Duration {
	shift := max(cell>>cellBits-1, 0)
	return time.Duration((cell-shift<<cellBits+1)<<shift - 1)
}
