package history

import "fmt"

// logicalBits is the width of the logical part of a timestamp; the physical
// milliseconds stand above it.
const logicalBits = 18

// Scope names the sequence that a timestamp was taken from: the global one, or
// the one of a dc-location.
type Scope int32

// Global is the scope of the cluster-wide sequence. Any other value stands for
// a dc-location; which one is the caller's business.
const Global Scope = 0

// String returns "global" or "local N".
func (s Scope) String() string {
	if s == Global {
		return "global"
	}
	return fmt.Sprintf("local %d", int32(s))
}

// Call is one successful call. Failed calls promise nothing about order and are
// left out of a history.
//
// It holds no pointers, so that the garbage collector never scans a log of
// millions of them while latencies are being measured.
type Call struct {
	// Start was read before the call was made, End after it had returned, both
	// from one clock that never goes back, in nanoseconds.
	Start, End int64
	// T is the composed timestamp, physical<<18 | logical.
	T uint64
	// Scope is where T was taken from.
	Scope Scope
}

// String shows the timestamp both composed and in its parts.
func (c Call) String() string {
	return fmt.Sprintf("T %d (%d ms + %d), %s, [%d, %d] ns",
		c.T, c.T>>logicalBits, c.T&(1<<logicalBits-1), c.Scope, c.Start, c.End)
}
