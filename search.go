package tso

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tsoring/tso/internal/office"
	"github.com/tsoring/tso/internal/pderr"
	"github.com/tsoring/tso/member"
)

// search is a rescue under way: the tries of one suspicion. It belongs to the watch
// goroutine.
type search struct {
	lane      *lane
	suspicion *suspicion
	racing    sync.WaitGroup
	won       chan *attempt
	ended     chan outcome
	hanging   map[try]unended

	// target is the member that the list names, since a round; vain is how many new connections
	// to it have led to somebody who gives no timestamps; near is what new connections that are
	// tried live in, and ends when the list names another one.
	target string
	since  int
	vain   int
	near   context.Context
	leave  context.CancelFunc

	// office is what watches say, start when the search began, and refuted when who is named
	// has been found not to serve.
	office         member.Office
	start, refuted time.Time
	// served is who has answered first of those that were tried, "" while nobody has.
	served string
}

// unended are the tries of a kind that have not come to an end: how many, since when none
// of them has, and when the last of them begins.
type unended struct {
	tries int
	since int64
	last  int64
}

// outcome is the end of a try that has not won.
type outcome struct {
	kind try
	err  error // nil if it has not been made
}

// inVain reports whether a new connection to a member has led to somebody else.
func (o outcome) inVain() bool {
	var u unserved
	return o.kind.fresh && o.kind.isDirect() && errors.As(o.err, &u) && u.fromStranger()
}

// before reports whether there are any, all of which had their turn before now.
func (u unended) before(now int64) bool { return u.tries > 0 && u.last < now }

func newSearch(l *lane, s *suspicion) *search {
	r := &search{
		lane:      l,
		suspicion: s,
		won:       make(chan *attempt),
		ended:     make(chan outcome),
		hanging:   make(map[try]unended),
		start:     time.Now(),
	}
	r.near, r.leave = context.WithCancel(s.ctx)
	return r
}

// rescue tries all ways, again and again, until one of them answers or the suspicion
// has ended.
func (l *lane) rescue(s *suspicion, asking *sync.WaitGroup) {
	r := newSearch(l, s)
	defer r.racing.Wait()
	defer s.cancel()
	defer func() {
		if s.answered.Load() {
			l.searched = searchTimes{} // it was a false alarm
		}
	}()
	if l.dc == globalDC {
		l.env.watch.Trouble()
		defer func() { l.env.watch.Calm(r.whoServes()) }()
	}
	defer r.awaitTurn()()
	r.favourStandby(asking)
	r.awaitProof()
	for round := 0; s.ctx.Err() == nil; round++ {
		l.troubledFor() // that goes on, whatever is asked in this round
		o := r.look(round)
		l.refresh()
		for _, t := range l.tries(o) {
			r.begin(t)
		}
		r.await(r.pause())
	}
}

// whoServes returns the member that has ended the search by an answer, "" if none has.
func (r *search) whoServes() string {
	if a := r.lane.dialed.Load(); r.served == "" && a != nil && a.over == nil && r.suspicion.answered.Load() {
		return a.target
	}
	return r.served
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
				if r.served == "" {
					giveBack()
				}
			}
		case r.suspicion.ctx.Err() != nil:
			return func() {}
		}
	}
}

// look returns what a round of tries goes by.
func (r *search) look(round int) outlook {
	s := r.suspicion
	s.see()
	r.follow(round)
	r.followOffice()
	unready, starting := r.lane.lastSaid()
	return outlook{
		round:    round,
		named:    round - r.since,
		news:     r.since > 0,
		doubted:  s.doubts(),
		around:   !s.route.isDirect(),
		young:    time.Since(r.start) < aroundAhead,
		unready:  unready,
		starting: starting,
		vain:     r.vain > 0,
		silent:   r.silent,
		dialed:   r.dialed,
		office:   r.office,
		quiet:    r.quiet(),
	}
}

// follow takes account of whom the list names. New connections to somebody else are of no use
// any more: lists that name another member each time would have many of them made.
func (r *search) follow(round int) {
	target := r.lane.env.target(r.lane.dc)
	if target == r.target {
		return
	}
	r.target, r.since, r.vain = target, round, 0
	r.leave()
	r.near, r.leave = context.WithCancel(r.suspicion.ctx)
}

// staleAhead is how long a member may take to answer on the connection that there is before
// a new one is tried beside that.
const staleAhead = 25 * time.Millisecond

// stale reports whether the connection that there is to a member brings no answers for some time,
// and no new one has been tried of late.
func (r *search) stale(member string, ahead time.Duration) bool {
	dialed := r.hanging[try{route: direct(member), fresh: true}]
	if dialed.last != 0 && r.lane.env.now()-dialed.last < int64(hangingPause) {
		return false
	}
	for _, asleep := range []bool{false, true} {
		asked := r.hanging[try{route: direct(member), asleep: asleep}]
		if asked.tries > 0 && r.lane.env.now()-asked.since > int64(ahead) {
			return true
		}
	}
	return false
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
	pause := t.pauseBehind(others.tries)
	switch {
	case !t.fresh:
	case t.isDirect():
		pause = max(pause, vainPause(r.vain))
	default:
		pause = max(pause, 4*vainPause(r.vain)) // there are several
	}
	if now-others.last < int64(pause) {
		return
	}
	wait, ok := r.lane.env.pace.reserveTry(now, t, &r.lane.asks)
	if !ok {
		return
	}
	begins := now + int64(wait)
	if others.tries == 0 {
		others.since = begins
	}
	r.hanging[t.kind()] = unended{tries: others.tries + 1, since: others.since, last: begins}
	ctx := r.suspicion.ctx
	if t.fresh {
		ctx = r.near
	}
	r.racing.Go(func() {
		err := r.race(ctx, t, wait)
		select {
		case r.ended <- outcome{kind: t.kind(), err: err}:
		case <-r.suspicion.ctx.Done():
		}
	})
}

// await deals with what comes of the tries until the round is over, or the next one would
// be another. Who is expected to serve is asked meanwhile.
func (r *search) await(pause time.Duration) {
	over := time.NewTimer(pause)
	defer over.Stop()
	again := time.NewTimer(r.nextQuestion(true))
	defer again.Stop()
	for {
		select {
		case o := <-r.ended:
			others := r.hanging[o.kind]
			others.tries--
			others.since = others.last
			r.hanging[o.kind] = others
			if o.inVain() {
				r.vain++
			}
			if o.kind.fresh && pause > 2*rescuePause {
				over.Reset(jittered(rescuePause)) // there is room for the next one
			}
		case a := <-r.won:
			r.win(a)
		case <-again.C:
			r.askExpected()
			again.Reset(r.nextQuestion(false))
		case <-over.C:
			return
		case <-r.suspicion.worse:
			return
		case <-r.suspicion.news:
			return
		case <-r.suspicion.ctx.Done():
			return
		}
	}
}

// askExpected asks who is likely to serve next, and whom the list names on a new connection
// when the one that there is brings no answer. The member that the list names may be asked
// on a new connection already, as it was down: one that has just started sleeps over a
// question that comes too early, and answers the next one at once.
func (r *search) askExpected() {
	l := r.lane
	if r.told() {
		r.askTold()
		return
	}
	if m := r.expected(); m != "" && m != r.suspicion.doubts() && l.env.reachable(m) {
		r.begin(tryCandidate(m))
	}
	target := l.env.target(l.dc)
	if r.stale(target, staleAhead) {
		r.begin(try{route: direct(target), fresh: true, instead: true})
	}
	if r.dialed(target) && l.env.reachable(target) {
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
	if c := l.env.candidate(); c != "" && r.office.State == office.Unwatched {
		return c
	}
	if target := l.env.target(l.dc); target != r.suspicion.route.target {
		return target
	}
	return ""
}

// race tries one way when its turn has come, and reports if it has brought an answer
// before the search ends, or why it has not.
func (r *search) race(ctx context.Context, t try, wait time.Duration) error {
	sleep(ctx, wait)
	if ctx.Err() != nil {
		return nil
	}
	a, err := r.lane.prove(ctx, t)
	if err != nil {
		r.lost(t, err)
		return err
	}
	select {
	case r.won <- a:
	case <-ctx.Done():
		a.drop(errCutOver)
	}
	return nil
}

// lost does what the failure of a try asks for. A member that says on a new connection that it
// does not serve would say so on others. What is final comes from the member itself if
// it has come on a new connection to it, and is the callers'.
func (r *search) lost(t try, err error) {
	class := pderr.Classify(err)
	if class.RefreshesMembers() {
		r.lane.refresh()
	}
	r.lane.refute(t.route, err)
	if class == pderr.NotLeader && t.instead {
		r.suspicion.absolve(t.target, r.lane.env.now()+int64(hangingPause))
	}
	if class.Final() && t.fresh && t.isDirect() {
		r.lane.fail(fmt.Errorf("%s, on a new connection: %w", t.via, err))
	}
}

// win has the lane go on with a, unless the suspicion has ended before.
func (r *search) win(a *attempt) {
	if r.lane.suspicion.CompareAndSwap(r.suspicion, nil) {
		r.served = a.target
		r.lane.env.refresh() // It may be news.
		r.lane.cutOver(a)
	} else {
		a.drop(errCutOver)
	}
	r.suspicion.cancel()
}
