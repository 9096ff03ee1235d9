package tso

import (
	"context"
	"errors"
	"math/rand/v2"
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

// errCutOver is why a stream has ended that was not given up for any fault of
// its own.
var errCutOver = errors.New("another connection answers faster")

// suspicion is that the lane's stream does not work, or that another member serves its
// dc-location than the list says, from when it arises until an answer comes or another
// stream takes its place.
type suspicion struct {
	ctx    context.Context // the tries that it leads to
	cancel context.CancelFunc
	// conn is the member whose connection is suspected, not just that it serves.
	conn atomic.Pointer[string]
}

// doubts returns the member whose connection is suspected, "" if none is.
func (s *suspicion) doubts() string {
	if conn := s.conn.Load(); conn != nil {
		return *conn
	}
	return ""
}

// suspect has the lane look for another stream; conn says that it is the connection to the
// member which does not seem to work. Any goroutine may call it.
func (l *lane) suspect(conn bool) {
	s := l.suspicion.Load()
	if s == nil {
		s = &suspicion{}
		s.ctx, s.cancel = context.WithCancel(l.ctx)
		if conn {
			s.conn.Store(l.doubtful())
		}
		if !l.suspicion.CompareAndSwap(nil, s) {
			s.cancel()
			return
		}
		l.env.stats.suspicions.Add(1)
		select {
		case l.alarm <- struct{}{}:
		default:
		}
	} else if conn {
		s.conn.Store(l.doubtful())
	}
}

// doubtful returns the member that the lane tries to reach, directly or through another.
func (l *lane) doubtful() *string {
	if a := l.dialed.Load(); a != nil {
		return &a.target
	}
	return nil
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
	var asking sync.WaitGroup // the standby
	defer asking.Wait()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.alarm:
		}
		if s := l.suspicion.Load(); s != nil {
			l.rescue(s, &asking)
		}
	}
}

// rescue tries all ways, again and again, until one of them answers or the suspicion
// has ended.
func (l *lane) rescue(s *suspicion, asking *sync.WaitGroup) {
	var racing sync.WaitGroup
	defer racing.Wait()
	defer s.cancel()
	won, ended := make(chan *attempt), make(chan try)
	hanging := make(map[try]unended)
	next := time.NewTimer(rescuePause)
	defer next.Stop()
	began := l.env.now()
	l.favourStandby(s, asking, won)
	for round := 0; s.ctx.Err() == nil; round++ {
		l.env.refresh()
		pause := l.roundPause(l.env.now() - began)
		next.Reset(pause + rand.N(pause/4))
		now := l.env.now()
		silent := func(m string) bool {
			t := try{route: direct(m)}
			others := hanging[t]
			return others.before(now) && others.tries < t.atOnce()
		}
		for _, t := range l.tries(round, s.doubts(), silent) {
			others := hanging[t.kind()]
			if others.tries >= t.atOnce() && now-others.last < int64(hangingPause) {
				continue
			}
			wait, ok := l.env.pace.reserveTry(now, t, &l.asks)
			if !ok {
				continue // there is another round soon
			}
			hanging[t.kind()] = unended{tries: others.tries + 1, last: now + int64(wait)}
			racing.Go(func() {
				l.race(s.ctx, t, wait, won)
				select {
				case ended <- t.kind():
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
// last of them begins.
type unended struct {
	tries int
	last  int64
}

// before reports whether there are any, all begun before now: one that is asked and awake
// answers within a round.
func (u unended) before(now int64) bool { return u.tries > 0 && u.last < now }

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

// race tries one way when its turn has come, and reports if it has brought an answer before
// ctx ends.
func (l *lane) race(ctx context.Context, t try, wait time.Duration, won chan<- *attempt) {
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

// prove opens a stream and has it answer a request that nobody waits for. The stream
// lives longer than ctx.
func (l *lane) prove(ctx context.Context, t try) (*attempt, error) {
	l.env.stats.probes.Add(1)
	life, cancel := context.WithCancelCause(l.ctx)
	a := &attempt{route: t.route, listed: l.env.target(l.dc), cancel: cancel}
	err := l.proveBy(ctx, a, func() (err error) {
		if t.fresh {
			a.stream, a.conn, err = l.env.fresh(life, l.dc, t.route)
		} else {
			a.stream, err = l.env.open(life, l.dc, t.route)
		}
		if err != nil {
			return err
		}
		return l.roundTrip(a.stream)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// proveBy notes that a serves if asking it succeeds before ctx or the RPC timeout ends,
// and drops it otherwise.
func (l *lane) proveBy(ctx context.Context, a *attempt, ask func() error) error {
	release := context.AfterFunc(ctx, func() { a.cancel(context.Cause(ctx)) })
	late := time.AfterFunc(l.env.timeout, func() { a.cancel(errDialTimeout) })
	err := ask()
	if inTime := late.Stop(); !release() || !inTime {
		err = errors.Join(err, errDialTimeout) // the stream ends, or is about to
	}
	if err != nil {
		a.drop(err)
		return err
	}
	a.proved = l.env.now()
	return nil
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
