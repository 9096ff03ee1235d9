package tso

import "sync/atomic"

// seat is the role of the one who sends for a lane. Nobody waits for it: who has made
// work takes it if it is free, and otherwise leaves a demand with its holder.
//
// No wake-up is lost. Who makes work publishes it first and then takes the seat or leaves
// a demand; the holder looks for work first and then leaves. It leaves with a
// compare-and-swap from plain taken, so that a demand which has come since its look makes
// that fail, and it looks again. All of these words are Go atomics, which are sequentially
// consistent.
//
// A seat must not be copied after first use.
type seat struct {
	word atomic.Uint32
}

const (
	seatFree uint32 = iota
	seatTaken
	seatWanted // taken, and somebody has come since: look once more
)

// take makes the caller the holder and reports true, or leaves a demand with who is.
func (s *seat) take() bool {
	for {
		if s.word.Load() == seatFree && s.word.CompareAndSwap(seatFree, seatTaken) {
			return true
		}
		if s.demand() {
			return false
		}
	}
}

// demand has the holder look once more before it leaves, and reports false if there is
// none.
func (s *seat) demand() bool {
	for {
		switch s.word.Load() {
		case seatFree:
			return false
		case seatTaken:
			if s.word.CompareAndSwap(seatTaken, seatWanted) {
				return true
			}
		default:
			return true
		}
	}
}

// leave frees the seat and reports true, or reports false if somebody has come since the
// last leave: then the holder is still that, and has to look for work once more.
func (s *seat) leave() bool {
	if s.word.CompareAndSwap(seatTaken, seatFree) {
		return true
	}
	s.word.Store(seatTaken)
	return false
}

// vacate frees the seat whatever has been demanded, for a holder that cannot look any more.
// It sees to it that somebody else does.
func (s *seat) vacate() { s.word.Store(seatFree) }

// taken reports whether somebody holds the seat.
func (s *seat) taken() bool { return s.word.Load() != seatFree }
