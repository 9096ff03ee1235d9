package tso

import (
	"math/rand/v2"
	"time"
)

// This file says how long a search for another stream waits between what it does.

// The pauses between tries of the same route: short while they fail at once, because who
// is refused finds out soon when he is not any more, and longer while several hang (see
// try.pauseBehind), such that thousands of clients do no harm to a PD that is frozen.
const (
	rescuePause  = 50 * time.Millisecond
	hangingPause = time.Second
)

// dcPause is the pause of the lanes of dc-locations, where nothing tells of the member
// that PD will choose, so that each has to be asked often.
const dcPause = 33 * time.Millisecond

// electionPause is the least pause between questions to a member that PD is about to elect, or
// has elected, as lists may name it up to 0.2 s before it serves: a leader that goes in good
// order hands over within 0.1 to 1 s, and what callers wait for beyond that is this pause,
// at most.
const electionPause = 12 * time.Millisecond

// Where nothing tells who leads, the pauses of the global scope grow with the time for which
// there has been trouble: what all clients ask is what keeps a PD that is weak from getting ready.
// So callers wait up to 5 % longer in the first 2 s, and 0.3 s after that.
const (
	troubleShare  = 0.05
	longTrouble   = 2 * time.Second
	longPause     = 300 * time.Millisecond
	troubleLinger = 2 * time.Second // Trouble that comes back sooner has not been over.
)

// roundPause returns how long a round of tries lasts: up to a quarter longer by chance, so
// that many clients do not ask in step.
func (l *lane) roundPause() time.Duration {
	if l.dc != globalDC {
		return jittered(dcPause)
	}
	d := l.troubledFor()
	if d > longTrouble {
		return longPause*7/8 + rand.N(longPause/4)
	}
	return jittered(max(rescuePause, part(troubleShare, d)))
}

// searchTimes are when a lane has come to look for other streams, and when it last did.
type searchTimes struct{ began, ended time.Time }

// troubledFor returns for how long the lane has been in trouble, until now. On the watch goroutine.
func (l *lane) troubledFor() time.Duration {
	now := time.Now()
	if now.Sub(l.searched.ended) > troubleLinger {
		l.searched.began = now
	}
	l.searched.ended = now
	return now.Sub(l.searched.began)
}

// electionPause returns the pause between questions to who is expected to serve.
func (l *lane) electionPause() time.Duration {
	d := l.troubledFor()
	if d > longTrouble {
		return forever // a round asks him
	}
	return max(electionPause, part(troubleShare, d))
}

// part returns a share of d.
func part(share float64, d time.Duration) time.Duration { return time.Duration(share * float64(d)) }

// jittered returns d and up to a quarter more.
func jittered(d time.Duration) time.Duration { return d + rand.N(d/4) }
