package batch

import "time"

// Bounds of Depth.
const (
	// MinDepth is 2: while one answer is shared out the next one is under way. At a
	// tenth of a millisecond 4 cost 1.2-1.5x the time per call at 64 callers, and 1 is
	// slower for 4,096.
	MinDepth = 2
	// MaxDepth keeps a round trip of 38 ms filled.
	MaxDepth = 64
	// spacing is how far apart RPCs are where more than MinDepth are under way: a
	// request waits for half of it, and a client sends 1,700 RPCs a second at most.
	// Over 2.6 ms with 64 callers, 4 RPCs under way bring the mean from 1.20 round
	// trips to 1.11, and 12 to 1.02.
	spacing = 600 * time.Microsecond
)

// Depth returns how many RPCs to have under way at a time over a round trip of the
// given length, so that a request need not wait for an answer that it has nothing to
// do with, and that PD is not asked more often than it takes for that.
func Depth(roundTrip time.Duration) int32 {
	return int32(min(max(roundTrip/spacing+1, MinDepth), MaxDepth))
}

// Policy says when the holder of the send seat cuts a batch. It is pure: the
// same numbers give the same answer.
type Policy struct {
	// MaxInFlight is the most RPCs that may be unanswered at a time, at
	// least 1.
	MaxInFlight int
	// Linger is set when a batch may wait for company: the caller gives it
	// up to the client's batch interval, and then passes expired to Decide.
	Linger bool
	// Target is the number of waiting requests from which on a lingering
	// batch has company enough.
	Target int
}

// Decision is what to do now.
type Decision int

// The decisions.
const (
	// Hold: nothing to send, or enough is in flight. An answer, or the next
	// request, asks again.
	Hold Decision = iota
	// Wait: start the batch interval if it is not running, and ask again at
	// its end.
	Wait
	// Cut: send what is there.
	Cut
)

// Decide says what to do with waiting requests while inFlight RPCs are
// unanswered. expired says that the batch interval has passed.
func (p Policy) Decide(waiting, inFlight int, expired bool) Decision {
	switch {
	case waiting == 0 || inFlight >= p.MaxInFlight:
		return Hold
	case p.Linger && !expired && waiting < p.Target:
		return Wait
	default:
		return Cut
	}
}
