package batch

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
