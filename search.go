package tso

import (
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
	began     int64
	racing    sync.WaitGroup
	won       chan *attempt
	ended     chan try
	hanging   map[try]unended
	found     bool
}

// unended are the tries of a kind that have not come to an end: how many, and when the
// last of them begins.
type unended struct {
	tries int
	last  int64
}

// before reports whether there are any, all of which had their turn before now.
func (u unended) before(now int64) bool { return u.tries > 0 && u.last < now }

// rescue tries all ways, again and again, until one of them answers or the suspicion
// has ended.
func (l *lane) rescue(s *suspicion, asking *sync.WaitGroup) {
	r := &search{
		lane:      l,
		suspicion: s,
		won:       make(chan *attempt),
		ended:     make(chan try),
		hanging:   make(map[try]unended),
		began:     l.env.now(),
	}
	defer r.racing.Wait()
	defer s.cancel()
	defer r.awaitTurn()()
	r.favourStandby(asking)
	for round := 0; s.ctx.Err() == nil; round++ {
		l.env.refresh()
		for _, t := range l.tries(r.look(round)) {
			r.begin(t)
		}
		r.await(l.roundPause())
	}
}

// awaitTurn waits until the lane may look for another stream, or the suspicion has ended. It
// returns what to call at the end: a search that has found nothing has taken no turn.
func (r *search) awaitTurn() (end func()) {
	for {
		wait, giveBack, ok := r.lane.env.pace.reserveSearch(r.lane.env.now())
		sleep(r.suspicion.ctx, wait)
		switch {
		case ok:
			return func() {
				if !r.found {
					giveBack()
				}
			}
		case r.suspicion.ctx.Err() != nil:
			return func() {}
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

// jittered returns d and up to a quarter more.
func jittered(d time.Duration) time.Duration { return d + rand.N(d/4) }

// look returns what a round of tries goes by.
func (r *search) look(round int) outlook {
	select {
	case <-r.suspicion.worse: // which is about to be seen
	default:
	}
	s := r.suspicion
	unready, starting := r.lane.lastSaid()
	return outlook{
		round:    round,
		doubted:  s.doubts(),
		around:   !s.route.isDirect(),
		young:    r.lane.env.now()-r.began < int64(aroundAhead),
		unready:  unready,
		starting: starting,
		silent:   r.silent,
		dialed:   r.dialed,
	}
}

// silent reports whether all questions to a member wait for an answer that it should have
// given within a round if it were awake.
func (r *search) silent(member string) bool {
	others := r.hanging[try{route: direct(member)}]
	return others.before(r.lane.env.now()) && others.tries < atOnce
}

// dialed reports whether a member has not answered yet on a connection of its own, and the
// lane has no stream that may be silent for the same reason.
func (r *search) dialed(member string) bool {
	return r.lane.current.Load() == nil && r.hanging[try{route: direct(member), fresh: true}].before(r.lane.env.now())
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
			r.win(a)
		case <-again.C:
			r.askExpected()
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

// askExpected asks who is likely to serve next. The member that the list names may be asked
// on a new connection already, as it was down: one that has just started sleeps over a
// question that comes too early, and answers the next one at once.
func (r *search) askExpected() {
	l := r.lane
	if m := r.expected(); m != "" && m != r.suspicion.doubts() && l.env.reachable(m) {
		r.begin(tryCandidate(m))
	}
	if target := l.env.target(l.dc); r.dialed(target) && l.env.reachable(target) {
		r.begin(try{route: direct(target), likely: l.dc == globalDC})
	}
}

// expected returns the member that is likely to serve next: who is about to be elected or,
// if nobody is, whom the list has come to name.
func (r *search) expected() string {
	l := r.lane
	if l.dc != globalDC {
		return ""
	}
	if c := l.env.candidate(); c != "" {
		return c
	}
	if target := l.env.target(l.dc); target != r.suspicion.route.target {
		return target
	}
	return ""
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
func (r *search) win(a *attempt) {
	if r.lane.suspicion.CompareAndSwap(r.suspicion, nil) {
		r.found = true
		r.lane.cutOver(a)
	} else {
		a.drop(errCutOver)
	}
	r.suspicion.cancel()
}
