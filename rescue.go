package tso

import (
	"context"
	"errors"
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

// patienceInSlowest is the same for the slowest member's time, which is the longest of some
// hundred answers already: with eight times that, a client on a machine with four times the
// work it can do saw a new leader up to 0.5 s late, and with two up to 0.1 s.
const patienceInSlowest = 2

// relayPatience is the least time after which it is doubted that a silent stream whose
// requests members pass on still leads to the leader: a member tells one of its clients
// when there is another leader, and the others nothing, and when a client goes it loses
// requests of others (dispatch in pkg/utils/tsoutil/tso_dispatcher.go). To see whether that
// is so takes no new connections.
const relayPatience = 25 * time.Millisecond

// patienceWith returns after how long f is suspected when it is silent, given how late
// answers were of late: in time for another stream to prove itself within the RPC timeout.
// On the run goroutine.
func (l *lane) patienceWith(f *flight) int64 {
	long := max(patienceInRoundTrips*l.rtt.late, patienceInSlowest*f.slowest)
	return max(min(long, int64(l.env.timeout/2)), int64(f.leastPatience()))
}

// startPatience sets the patience with a stream that has not answered yet: no less than
// with the one before, if that was one of its kind. On the run goroutine.
func (l *lane) startPatience(f *flight) {
	patience := l.patienceWith(f)
	if f.relayed == l.relayed {
		patience = max(patience, l.patience.Load())
	}
	l.relayed = f.relayed
	l.patience.Store(patience)
}

// slowestFades is the share that is forgotten, with each answer, of how long the slowest
// member takes: half of it after 177 answers, among which it has had its turn.
const slowestFades = 256

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
	// route is what the stream took.
	route route
	// conn is the member whose connection is suspected, not just that it serves; nil if
	// none is.
	conn     atomic.Pointer[string]
	absolved atomic.Pointer[absolution]
	// worse says that conn has changed.
	worse chan struct{}
	// news says that watches or lists say something else than before.
	news chan struct{}
	// answered is set if an answer has ended it.
	answered atomic.Bool
}

// hear has the search look at the news. Any goroutine may call it.
func (s *suspicion) hear() { nudge(s.news) }

// nudge leaves a token in a channel that has room for one, unless there is one already.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// see takes in that the search is about to look at all that has been heard.
func (s *suspicion) see() {
	for _, heard := range []chan struct{}{s.worse, s.news} {
		select {
		case <-heard:
		default:
		}
	}
}

// doubts returns the member whose connection is suspected, "" if none is.
func (s *suspicion) doubts() string {
	if conn := s.conn.Load(); conn != nil {
		return *conn
	}
	return ""
}

// doubt adds that the connection to a member is suspected.
func (s *suspicion) doubt(member string, now int64) {
	if a := s.absolved.Load(); a != nil && a.member == member && now < a.until {
		return
	}
	if before := s.conn.Swap(&member); before == nil || *before != member {
		nudge(s.worse)
	}
}

// absolution is until when there is no reason to suspect the connection to a member.
type absolution struct {
	member string
	until  int64
}

// absolve ends the suspicion of the connection to a member, as another one has taken its place.
// What was sent on the one before may be unanswered for longer.
func (s *suspicion) absolve(member string, until int64) {
	s.absolved.Store(&absolution{member: member, until: until})
	if conn := s.conn.Load(); conn != nil && *conn == member {
		s.conn.CompareAndSwap(conn, nil)
	}
}

// suspect has the lane look for another stream; conn says that it is the connection to the
// member which does not seem to work. Any goroutine may call it.
func (l *lane) suspect(conn bool) {
	s := l.suspicion.Load()
	for s == nil {
		s = l.newSuspicion()
	}
	a := l.dialed.Load()
	if conn && a != nil && a.target != "" {
		s.doubt(a.target, l.env.now())
	}
	nudge(l.alarm)
}

// newSuspicion returns the suspicion that there is now, or nil if it has just ended.
func (l *lane) newSuspicion() *suspicion {
	s := &suspicion{worse: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	if a := l.dialed.Load(); a != nil {
		s.route = a.route
	}
	s.ctx, s.cancel = context.WithCancel(l.ctx)
	if l.suspicion.CompareAndSwap(nil, s) {
		l.env.stats.suspicions.Add(1)
		return s
	}
	s.cancel()
	return l.suspicion.Load()
}

// trust ends a suspicion: an answer has come. On the run goroutine.
func (l *lane) trust(s *suspicion) {
	if l.suspicion.CompareAndSwap(s, nil) {
		s.answered.Store(true)
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

// unserved is why somebody who could be connected to has given no timestamp.
type unserved struct{ error }

func (u unserved) Unwrap() error { return u.error }

// fromStranger reports whether that is nothing that a member says.
func (u unserved) fromStranger() bool {
	return (pderr.FromPeer(u.error) || errors.Is(u.error, wire.ErrCluster)) && !pderr.OfPD(u.error)
}

// prove opens a stream and has it answer a request that nobody waits for. The stream
// lives longer than ctx.
func (l *lane) prove(ctx context.Context, t try) (*attempt, error) {
	l.env.stats.probes.Add(1)
	life, cancel := context.WithCancelCause(l.ctx)
	a := &attempt{route: t.route, listed: l.env.target(l.dc), cancel: cancel, fresh: t.fresh}
	err := l.proveBy(ctx, a, func() (err error) {
		if t.fresh {
			a.stream, a.conn, err = l.env.fresh(life, l.dc, t.route)
		} else {
			a.stream, err = l.env.open(life, l.dc, t.route)
		}
		if err != nil {
			return err
		}
		if err = l.roundTrip(a.stream); err != nil {
			if t.instead && pderr.Classify(err) == pderr.NotLeader {
				a.keep() // It is a member's at least, and what is doubted may not be.
			}
			return unserved{err}
		}
		return nil
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
	nudge(l.poke)
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
