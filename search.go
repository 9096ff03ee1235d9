package tso

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tsoring/tso/internal/pderr"
)

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

// electionPause is the pause between questions to a member that PD is about to elect, or
// has elected, as lists may name it up to 0.2 s before it serves: a leader that goes in good
// order hands over within 0.1 to 1 s, and what callers wait for beyond that is this pause,
// at most.
const electionPause = 12 * time.Millisecond

// search is a rescue under way: the tries of one suspicion. It belongs to the watch
// goroutine.
type search struct {
	lane      *lane
	suspicion *suspicion
	racing    sync.WaitGroup
	won       chan *attempt
	ended     chan try
	hanging   map[try]unended
}

// unended are the tries of a kind that have not come to an end: how many, and when the
// last of them begins.
type unended struct {
	tries int
	last  int64
}

// rescue tries all ways, again and again, until one of them answers or the suspicion
// has ended.
func (l *lane) rescue(s *suspicion, asking *sync.WaitGroup) {
	r := &search{
		lane:      l,
		suspicion: s,
		won:       make(chan *attempt),
		ended:     make(chan try),
		hanging:   make(map[try]unended),
	}
	defer r.racing.Wait()
	defer s.cancel()
	l.awaitSearch(s.ctx)
	l.favourStandby(s, asking, r.won)
	for round := 0; s.ctx.Err() == nil; round++ {
		l.env.refresh()
		for _, t := range l.tries(r.look(round)) {
			r.begin(t)
		}
		r.await(l.roundPause())
	}
}

// awaitSearch waits until the lane may look for another stream, or ctx has ended.
func (l *lane) awaitSearch(ctx context.Context) {
	for ctx.Err() == nil {
		wait, ok := l.env.pace.reserveSearch(l.env.now())
		sleep(ctx, wait)
		if ok {
			return
		}
	}
}

// roundPause returns how long a round of tries lasts: up to a quarter longer by chance, so
// that many clients do not ask in step.
func (l *lane) roundPause() time.Duration {
	if l.dc == globalDC {
		return jittered(rescuePause)
	}
	return jittered(dcPause)
}

func jittered(d time.Duration) time.Duration { return d + rand.N(d/4) }

// look returns what a round of tries goes by.
func (r *search) look(round int) outlook {
	select {
	case <-r.suspicion.worse: // which is about to be seen
	default:
	}
	return outlook{
		round:   round,
		doubted: r.suspicion.doubts(),
		around:  r.suspicion.around,
		silent:  r.silent,
	}
}

// silent reports whether all questions to a member wait for an answer that it should have
// given within a round if it were awake.
func (r *search) silent(member string) bool {
	others := r.hanging[try{route: direct(member)}]
	return others.tries > 0 && others.last < r.lane.env.now() && others.tries < atOnce
}

// begin starts a try, unless one of its kind waits for its turn, several hang, or there is
// no turn; there is another round soon.
func (r *search) begin(t try) {
	now := r.lane.env.now()
	others := r.hanging[t.kind()]
	if now-others.last < int64(t.pauseBehind(others.tries)) {
		return
	}
	wait, ok := r.lane.env.pace.reserveTry(now, t, &r.lane.asks)
	if !ok {
		return
	}
	r.hanging[t.kind()] = unended{tries: others.tries + 1, last: now + int64(wait)}
	r.racing.Go(func() {
		r.race(t, wait)
		select {
		case r.ended <- t.kind():
		case <-r.suspicion.ctx.Done():
		}
	})
}

// await deals with what comes of the tries until the round is over, or the next one would
// be another. Who is expected to serve is asked meanwhile.
func (r *search) await(pause time.Duration) {
	over := time.NewTimer(pause)
	defer over.Stop()
	again := time.NewTimer(jittered(electionPause))
	defer again.Stop()
	for {
		select {
		case kind := <-r.ended:
			others := r.hanging[kind]
			others.tries--
			r.hanging[kind] = others
		case a := <-r.won:
			r.lane.win(r.suspicion, a)
		case <-again.C:
			if m := r.lane.expected(); m != "" && m != r.suspicion.doubts() && r.lane.env.reachable(m) {
				r.begin(tryCandidate(m))
			}
			again.Reset(jittered(electionPause))
		case <-over.C:
			return
		case <-r.suspicion.worse:
			return
		case <-r.suspicion.ctx.Done():
			return
		}
	}
}

// race tries one way when its turn has come, and reports if it has brought an answer
// before the search ends.
func (r *search) race(t try, wait time.Duration) {
	ctx := r.suspicion.ctx
	sleep(ctx, wait)
	if ctx.Err() != nil {
		return
	}
	a, err := r.lane.prove(ctx, t)
	if err != nil {
		if pderr.Classify(err).RefreshesMembers() {
			r.lane.env.refresh()
		}
		return
	}
	select {
	case r.won <- a:
	case <-ctx.Done():
		a.drop(errCutOver)
	}
}

// win has the lane go on with a, unless the suspicion has ended before.
func (l *lane) win(s *suspicion, a *attempt) {
	if l.suspicion.CompareAndSwap(s, nil) {
		l.cutOver(a)
	} else {
		a.drop(errCutOver)
	}
	s.cancel()
}
