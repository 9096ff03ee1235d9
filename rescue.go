package tso

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso/internal/pderr"
	"github.com/tsoring/tso/internal/wire"
)

// A stream that is silent may be slow, or dead: a gateway has forgotten the
// connection, a cable is out. Nothing tells the two apart but an answer. So when an
// RPC is unanswered for longer than it should take, the lane does not give the
// stream up, but tries others beside it: each on a connection of its own, with a
// request for one timestamp that nobody gets. If the stream answers meanwhile, the
// others are dropped and nothing has happened. If one of them is faster, the lane
// cuts over to it: all that is unanswered moves, in order, and what the old stream
// may still bring is not read. So at any time one stream answers, and the order of
// timestamps holds.

// minPatience is the least time after which a silent stream is suspected. PD may
// sleep 50 ms when its timestamps of a moment run out, and a false alarm costs it a
// connection.
const minPatience = 100 * time.Millisecond

// patienceInRoundTrips is how many times as long as lately an answer may take, up to
// half of the RPC timeout.
const patienceInRoundTrips = 8

// patienceFor returns after how long a silent stream is suspected whose answers took as
// long as late of late: in time for another one to prove itself within the RPC timeout.
func patienceFor(late int64, timeout time.Duration) int64 {
	return max(min(patienceInRoundTrips*late, int64(timeout/2)), int64(minPatience))
}

// The pauses between tries of the same route: short while they fail at once, because who
// is refused finds out soon when he is not any more, and longer while as many hang as
// try.atOnce allows, such that thousands of clients do no harm to a PD that is frozen.
const (
	rescuePause  = 50 * time.Millisecond
	hangingPause = time.Second
)

// electionPause is the pause between rounds in the first second of a rescue, while PD is
// about to elect a member that is known: a leader that goes in good order hands over
// within that.
const electionPause = 20 * time.Millisecond

// runPause is the pause of the run goroutine while others look for a stream.
const runPause = time.Second

// staleAfter is the age from which a stream that has won is not used any more,
// because the lane went on with another one.
const staleAfter = time.Second

// homeInterval is how often a lane whose requests are forwarded tries to do without,
// and how often one that has no calls asks its member for its health.
const homeInterval = time.Second

// errCutOver is why a stream has ended that was not given up for any fault of
// its own.
var errCutOver = errors.New("another connection answers faster")

// suspicion is that the lane's stream does not work, or that another member serves its
// dc-location than the list says, from when it arises until an answer comes or another
// stream takes its place.
type suspicion struct {
	ctx    context.Context // the tries that it leads to
	cancel context.CancelFunc
	// conn says that the connection is suspected, not just the member.
	conn atomic.Bool
}

// suspect has the lane look for another stream; conn says that it is the connection
// which does not seem to work. Any goroutine may call it.
func (l *lane) suspect(conn bool) {
	s := l.suspicion.Load()
	if s == nil {
		s = &suspicion{}
		s.ctx, s.cancel = context.WithCancel(l.ctx)
		s.conn.Store(conn)
		if !l.suspicion.CompareAndSwap(nil, s) {
			s.cancel()
			return
		}
		l.env.stats.suspicions.Add(1)
		select {
		case l.alarm <- struct{}{}:
		default:
		}
	} else if conn && !s.conn.Load() {
		s.conn.Store(true)
	}
}

// trust ends a suspicion: an answer has come. On the run goroutine.
func (l *lane) trust(s *suspicion) {
	if l.suspicion.CompareAndSwap(s, nil) {
		s.cancel()
	}
}

// watch looks for other streams whenever there is a suspicion, until the lane is
// closed.
func (l *lane) watch() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.alarm:
		}
		if s := l.suspicion.Load(); s != nil {
			l.rescue(s)
		}
	}
}

// rescue tries all ways, again and again, until one of them answers or the suspicion
// has ended.
func (l *lane) rescue(s *suspicion) {
	var racing sync.WaitGroup
	defer racing.Wait()
	defer s.cancel()
	won, ended := make(chan *attempt), make(chan try)
	hanging := make(map[try]unended)
	next := time.NewTimer(rescuePause)
	defer next.Stop()
	began := l.env.now()
	for round := 0; s.ctx.Err() == nil; round++ {
		l.env.refresh()
		pause := l.roundPause(l.env.now() - began)
		next.Reset(pause + rand.N(pause/4))
		for _, t := range l.tries(round, s.conn.Load()) {
			kind := t.kind()
			now, others := l.env.now(), hanging[kind]
			if others.tries >= t.atOnce() && now-others.last < int64(hangingPause) {
				continue
			}
			hanging[kind] = unended{tries: others.tries + 1, last: now}
			racing.Go(func() {
				l.race(s.ctx, t, won)
				select {
				case ended <- kind:
				case <-s.ctx.Done():
				}
			})
		}
		for waiting := true; waiting; {
			select {
			case kind := <-ended:
				others := hanging[kind]
				others.tries--
				hanging[kind] = others
			case a := <-won:
				l.win(s, a)
			case <-next.C:
				waiting = false
			case <-s.ctx.Done():
				waiting = false
			}
		}
	}
}

// unended are the tries of a kind that have not come to an end: how many, and when the
// last of them began.
type unended struct {
	tries int
	last  int64
}

// roundPause returns how long after the last round of tries the next one comes, in a
// rescue that is this old.
func (l *lane) roundPause(age int64) time.Duration {
	if age < int64(time.Second) && l.candidate() != "" {
		return electionPause
	}
	return rescuePause
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

// race tries one way, and reports if it has brought an answer before ctx ends.
func (l *lane) race(ctx context.Context, t try, won chan<- *attempt) {
	wait, ok := l.env.pace.reserveTry(l.env.now(), t, &l.asks)
	if !ok {
		return // there is another round soon
	}
	sleep(ctx, wait)
	if ctx.Err() != nil {
		return
	}
	a, err := l.prove(ctx, t)
	if err != nil {
		if pderr.Classify(err).RefreshesMembers() {
			l.env.refresh()
		}
		return
	}
	select {
	case won <- a:
	case <-ctx.Done():
		a.drop(errCutOver)
	}
}

// prove opens a stream and has it answer a request that nobody waits for. It gives up
// when ctx or the RPC timeout ends; the stream lives longer.
func (l *lane) prove(ctx context.Context, t try) (*attempt, error) {
	l.env.stats.probes.Add(1)
	life, cancel := context.WithCancelCause(l.ctx)
	release := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	late := time.AfterFunc(l.env.timeout, func() { cancel(errDialTimeout) })
	a := &attempt{route: t.route, listed: l.env.target(l.dc), cancel: cancel}
	var err error
	if t.fresh {
		a.stream, a.conn, err = l.env.fresh(life, l.dc, t.route)
	} else {
		a.stream, err = l.env.open(life, l.dc, t.route)
	}
	if err == nil {
		err = l.roundTrip(a.stream)
	}
	if inTime := late.Stop(); !release() || !inTime {
		err = errors.Join(err, errDialTimeout) // the stream ends, or is about to
	}
	if err != nil {
		a.drop(err)
		return nil, err
	}
	a.proved = l.env.now()
	return a, nil
}

// roundTrip asks for a timestamp and throws it away.
func (l *lane) roundTrip(stream tsoStream) error {
	if err := stream.Send(1); err != nil {
		return err
	}
	var response wire.Response
	if err := stream.Recv(&response); err != nil {
		return err
	}
	return response.Check(1, l.env.clusterID())
}

// cutOver makes a, which has proved itself, the lane's next stream, and ends the one
// that is, or is being opened. Here a is offered before the look at what is dialed;
// in connect and awaitTarget what is dialed is published before the look at what is
// offered. So an attempt that begins meanwhile does not keep a from being used.
func (l *lane) cutOver(a *attempt) {
	for offered := false; !offered; {
		select {
		case l.proved <- a:
			offered = true
		case stale := <-l.proved:
			stale.drop(errCutOver)
		}
	}
	if current := l.dialed.Load(); current != nil && current != a {
		current.cancel(errCutOver)
	}
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// takeProved returns a stream that has won, if there is one that is worth having.
func (l *lane) takeProved() *attempt {
	select {
	case a := <-l.proved:
		return l.stillGood(a)
	default:
		return nil
	}
}

func (l *lane) stillGood(a *attempt) *attempt {
	if l.stale(a) {
		a.drop(errMoved)
		return nil
	}
	return a
}

// stale reports whether a, which has proved itself, is not worth having any more.
func (l *lane) stale(a *attempt) bool {
	return l.outdated(a) || l.env.now()-a.proved > int64(staleAfter)
}

// patrol runs where requests may be forwarded. Each second it sees whether a lane
// whose requests are can do without, and whether the member of one that has no calls
// is well.
func (l *lane) patrol() {
	ticker := time.NewTicker(homeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-ticker.C:
		}
		a := l.dialed.Load()
		switch {
		case a == nil || a.target == "" || l.suspicion.Load() != nil:
		case !a.isDirect():
			l.tryHome(a)
		case l.idle() && slices.Contains(a.members(), a.target):
			l.checkHealth(a)
		}
	}
}

// tryHome goes back to the direct route if that works, and the lane has not gone on to
// another one meanwhile.
func (l *lane) tryHome(a *attempt) {
	ctx, cancel := context.WithTimeout(l.ctx, homeInterval)
	defer cancel()
	way := try{route: direct(a.target), fresh: true}
	wait, ok := l.env.pace.reserveTry(l.env.now(), way, &l.asks)
	if !ok {
		return
	}
	sleep(ctx, wait)
	home, err := l.prove(ctx, way)
	switch {
	case err != nil:
	case l.dialed.Load() != a:
		home.drop(errMoved)
	default:
		l.cutOver(home)
	}
}

// checkHealth asks the lane's member whether it is well, so that an idle lane has found
// another way before the first call needs it.
func (l *lane) checkHealth(a *attempt) {
	ctx, cancel := context.WithTimeout(l.ctx, homeInterval)
	defer cancel()
	if err := l.env.health(ctx, a.target); err != nil && l.ctx.Err() == nil && l.dialed.Load() == a {
		l.suspect(true)
	}
}
