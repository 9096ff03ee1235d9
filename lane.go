package tso

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso/internal/wheel"
	"github.com/tsoring/tso/internal/wire"
	"github.com/tsoring/tso/ring"
)

// laneEnv is what a lane needs of the client around it. A struct of values and
// functions, so that a test can drive a lane without members or a network. Set
// up once and then only read, but for the atomics, which UpdateOption sets.
type laneEnv struct {
	// target returns the URL of the member that serves the dc-location, ""
	// if none is known.
	target func(dc string) string
	// open begins a stream on the connection that there is. It returns when ctx
	// ends, as the stream does.
	open func(ctx context.Context, dc string, r route) (tsoStream, error)
	// fresh is open on a connection of its own.
	fresh func(ctx context.Context, dc string, r route) (tsoStream, connection, error)
	// members returns the URLs of all members that PD tells of.
	members func() []string
	// reachable reports whether the connection that there is to the member at url may
	// work: it is not known to be down.
	reachable func(url string) bool
	// candidate returns the URL of the member that PD is likely to elect next, or "".
	candidate func() string
	// health asks the member at url whether it is well.
	health func(ctx context.Context, url string) error
	// refresh asks for news of the members, and does not wait for them.
	refresh func()
	// refreshWait returns once news have come, or with the reason why not.
	refreshWait func(ctx context.Context) error
	// sameCluster asks all members whether they belong to the cluster, and returns an error
	// that Is ErrClusterMismatch if none does.
	sameCluster func(ctx context.Context) error
	// forget is called when a lane has ended by itself.
	forget func(*lane)
	// depth says how many RPCs to have under way over a round trip.
	depth func(roundTrip time.Duration) int32
	// now is a monotonic clock in nanoseconds.
	now func() int64
	// clusterID is the cluster whose answers are believed.
	clusterID func() uint64
	// watch is what watches say of the leader.
	watch officeWatch

	wheel    *wheel.Wheel
	requests *requestPool
	parts    *requestPool // those of GetTSBatch, whose weights differ
	batches  *sync.Pool   // of *requestBatch
	pace     *pacer
	unknown  *unknownLists
	stats    *counters
	log      *zap.Logger
	fallback func(FallbackEvent) // may be nil

	timeout  time.Duration // of an RPC
	budget   time.Duration // of a request
	closed   error         // what calls return after Close
	capacity int           // of the ring, when it has grown
	grace    time.Duration // see removalGrace
	// forwarding lets requests go through other members where the one that
	// serves them cannot be reached.
	forwarding bool

	inFlight atomic.Int32 // bounds the depth of the lanes, 1..maxInFlight
	linger   atomic.Int64 // batch interval in ns, 0 for none
	proxy    atomic.Bool  // spread requests over all members
	// firstMark is what the client's first good answer said, nil before that.
	firstMark atomic.Pointer[mark]
}

// tickOf returns how often a lane with calls under way looks at its deadlines: a
// hundredth of the budget. 50 ms, which the default budget gets, costs twenty
// wake-ups a second while there are calls, and none without.
func tickOf(budget time.Duration) time.Duration {
	return min(max(budget/100, time.Millisecond), 50*time.Millisecond)
}

// lane is the pipeline of one dc-location: callers push requests into the ring,
// the send seat cuts them into batches and sends those on the stream, the
// receiver shares out the answers.
//
//	callers ──► ring ──► queue ──► flight (stream) ──► receiver ──► callers
//	                 send seat                     run goroutine
//
// # The send seat
//
// Sending is a role that anybody takes who has reason to believe that there is
// something to send: a caller after its push, the receiver after an answer, the
// run goroutine after a change of stream; see seat. Whoever makes work first
// publishes it and then looks for a holder; the holder first looks for work and then
// leaves. The same pattern ("publish, then look") lets a caller leave at once when the
// flight is full (the receiver comes past after its answer, having published the
// room) and when there is no stream (the run goroutine comes past with the next
// one, having published it).
//
// Nothing done in the seat blocks, but for an interceptor of the program's; see
// tsoStream.Send. That can make a Send hang, so nothing that watches over the seat enters
// it: the wheel, at a tick or at the end of the batch interval, leaves
// a demand with the holder, or with the attendant if there is none. A Send that hangs
// ends with its stream, which the tick sees to; see oversee.
type lane struct {
	dc  string
	env *laneEnv

	ring  *ring.MPSC[*request]
	drain func([]*request) int // ring.Drain, bound once
	// whyEnded is ended, bound once.
	whyEnded func(context.Context) error
	tick     time.Duration
	// slack is by how much a request's start may be ahead of its push; see
	// advance.
	slack time.Duration

	// current is the flight that requests leave on, nil while there is no
	// stream. Written by the run goroutine, and by close.
	current atomic.Pointer[flight]
	// clock is a coarse clock in nanoseconds that runs while there is work; see
	// advance. Written by onTick.
	clock atomic.Int64
	// ticking is set while ticks come.
	ticking atomic.Bool
	// ticked is env.now at the last tick. Of who has set ticking, then of
	// onTick until that clears it.
	ticked int64
	// late is set if the last tick came so late that answers may be there which nobody
	// has had the time to read. Of onTick.
	late bool
	// patience is for how long the stream may be silent while an answer is
	// awaited. Written by the receiver.
	patience atomic.Int64
	// searched is of the watch goroutine.
	searched searchTimes
	// listed is when the lane last asked for a list of members.
	listed atomic.Int64
	// suspicion is why other streams are tried, nil while none are.
	suspicion atomic.Pointer[suspicion]
	// standby is a stream through another member, nil without one. Put there by the
	// patrol goroutine.
	standby atomic.Pointer[attempt]
	// regained is set by the first good answer after a failure; see widen.
	regained atomic.Bool
	// asks is the lane's share of the tries on connections that are there.
	asks share
	// closing is why the lane has ended, nil while it has not.
	closing atomic.Pointer[error]
	// room wakes callers who wait for room in a full ring.
	room roomGate

	_    [64]byte
	seat seat
	// sweepDue, flush and surface are demands on the holder of the seat: look at
	// the deadlines; the batch interval has passed; fail all that waits with
	// this error.
	sweepDue atomic.Bool
	flush    atomic.Bool
	surface  atomic.Pointer[error]
	// gathering is set while a caller lets others push first; see gather.
	gathering atomic.Bool
	// queued is the length of the queue, written by the holder of the seat.
	queued atomic.Int32
	_      [64]byte

	sendSide // of the holder of the seat

	_           [64]byte
	receiveSide // of the run goroutine

	tickTimer   wheel.Timer
	lingerTimer wheel.Timer

	ctx     context.Context    // of the run goroutine
	stop    context.CancelFunc // ends it
	poke    chan struct{}      // wakes the run goroutine from its back-off
	due     chan struct{}      // wakes the attendant
	alarm   chan struct{}      // wakes the watch goroutine
	wide    chan struct{}      // wakes the widen goroutine
	settled chan struct{}      // wakes the patrol goroutine: there is another stream
	proved  chan *attempt      // a stream that is better than the one there is
	dialed  atomic.Pointer[attempt]

	cause atomic.Pointer[error] // the last thing that went wrong
}

// sendSide belongs to the holder of the send seat.
type sendSide struct {
	// adopted is the flight that the seat sends on; it differs from current
	// when that has changed and nobody has dealt with it yet.
	adopted *flight
	// queue holds batches that are to be sent before anything in the ring:
	// what has come back from a broken stream, and what has been taken out
	// of the ring so that its deadlines can be watched. In order.
	queue batchQueue
	// waiting is the number of requests in queue.
	waiting int
	// lingering is set while the batch interval runs.
	lingering bool
	// moved is when the ring was last cut, on the coarse clock.
	moved int64
}

// receiveSide belongs to the run goroutine.
type receiveSide struct {
	response wire.Response
	rtt      roundTrip
	high     mark
	jump     jump
	suffix   suffix
	// relayed is whether the last stream was.
	relayed bool
	// badAnswers counts the streams, since the last good answer, that ended
	// with an answer that could not be used; failures counts all that ended.
	badAnswers int
	failures   int
	// fallback is the last timestamp fallback since the last good answer.
	fallback error
	// missing is since when no list of members has had one to go to, 0 if the
	// last had, and served is set once there has been one.
	missing int64
	served  bool
	// beside are the goroutines that keep to the run goroutine, once there are any.
	beside sync.WaitGroup
}

// noFlight is the current flight of a lane that has ended. It is never full, so
// that every push finds its way to the seat, where the requests are failed.
var noFlight = newFlight(&attempt{})

// firstRing is the capacity of a ring until it is full for the first time: a few callers, or
// a name that PD does not know, do not need a megabyte.
const firstRing = 128

func newLane(dc string, env *laneEnv) *lane {
	l := &lane{
		dc:   dc,
		env:  env,
		ring: ring.New[*request](min(firstRing, env.capacity)),
		tick: tickOf(env.budget),
		poke: make(chan struct{}, 1),
		asks: shareOf(dc),
	}
	l.slack = max(2*l.tick, l.tick+lateTick)
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.drain, l.whyEnded = l.ring.Drain, l.ended
	l.patience.Store(int64(minPatience))
	l.due = make(chan struct{}, 1)
	l.alarm = make(chan struct{}, 1)
	l.wide = make(chan struct{}, 1)
	l.settled = make(chan struct{}, 1)
	l.proved = make(chan *attempt, 1)
	l.room.init()
	l.tickTimer.Init(env.wheel, l.onTick)
	l.lingerTimer.Init(env.wheel, l.onLinger)
	return l
}

// push queues r for the next batch and returns nil, or an error if the lane has
// ended, or the context or the budget ends before the ring has room: then r is the
// caller's still. It does not wait for anything else.
func (l *lane) push(ctx context.Context, r *request) error {
	if err := l.add(ctx, r, l.clock.Load()); err != nil {
		return err
	}
	l.look()
	return nil
}

// pushToWait is push for a caller that is going to wait for the answer at once.
func (l *lane) pushToWait(ctx context.Context, r *request) error {
	if err := l.add(ctx, r, l.clock.Load()); err != nil {
		return err
	}
	if l.gather() {
		l.look()
	}
	return nil
}

// add puts r, of a call that began at start on the coarse clock, into the ring.
func (l *lane) add(ctx context.Context, r *request, start int64) error {
	if closing := l.closing.Load(); closing != nil {
		return *closing
	}
	r.start, r.ended = start, l.whyEnded
	if !l.ring.TryPush(r) {
		if err := l.pushSlow(ctx, r); err != nil {
			return err
		}
	}
	l.keepTicking()
	return nil
}

// gather lets other callers that can run push first, if the request can be sent
// but others are in flight already: then their answer is what ends the wait, and
// company makes one RPC of several. One caller yields for all of them; the others
// have gather return false, and need not look: the one that yields looks when it
// has taken gathering back, and finds what they had pushed before they saw it set.
// Should it not run for a while, the next answer takes them along. With 64 callers
// this makes batches 1.4 times as large and a call 0.8 times as long; if each of
// them yielded, a call would take 1.07 times as long, and with 4,096 1.2 times.
func (l *lane) gather() bool {
	f := l.current.Load()
	if f == nil || l.seat.taken() {
		return true
	}
	if n := f.len(); n == 0 || n >= l.mostInFlight(f) {
		return true
	}
	if l.gathering.Load() || !l.gathering.CompareAndSwap(false, true) {
		return false
	}
	runtime.Gosched()
	l.gathering.Store(false)
	return true
}

// look sees to it that what has been published is sent: now, or by somebody who
// is certain to come past.
func (l *lane) look() {
	f := l.current.Load()
	if f == nil || f.len() >= l.mostInFlight(f) {
		return
	}
	l.takeSeat()
}

// mostInFlight returns how many RPCs may be unanswered on f: the lane's own choice,
// within the bound that the user has set.
func (l *lane) mostInFlight(f *flight) int { return int(min(f.depth.Load(), l.env.inFlight.Load())) }

// close ends the lane: everything that waits, now or later, fails with err. It
// does not wait for the run goroutine. Idempotent; the first error counts.
func (l *lane) close(err error) {
	if l.closing.CompareAndSwap(nil, &err) {
		l.setCurrent(noFlight)
		l.stop()
		l.takeSeat()
	}
}

// setCurrent publishes the flight to send on. A lane that has ended keeps
// noFlight, whichever of close and the run goroutine is later.
func (l *lane) setCurrent(f *flight) {
	l.current.Store(f)
	if l.closing.Load() != nil {
		l.current.Store(noFlight)
	}
}

// lastCause returns why calls have not come to their end lately, nil if nothing
// is known.
func (l *lane) lastCause() error {
	if p := l.cause.Load(); p != nil {
		return *p
	}
	return nil
}
