package tso

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/internal/pderr"
	"github.com/tsoring/tso/internal/wire"
)

// Unless it says otherwise, this file runs on the lane's run goroutine: it finds the member to ask,
// opens the stream, sits in the receive seat while the stream lasts, and begins
// again.

// Why a stream of ours has ended, where it was not the peer's doing.
var (
	errMoved       = errors.New("another member serves the dc-location now")
	errRPCTimeout  = errors.New("no answer within the RPC timeout")
	errDialTimeout = errors.New("no stream within the RPC timeout")
	errUnsolicited = errors.New("an answer to no request")
	errNotServed   = errors.New("no member serves it at the moment")
	errSendBlocked = errors.New("a request could not be handed to gRPC; does an interceptor of the program's wait?")
	errSendAborted = errors.New("an interceptor of the program's has panicked, or ended its goroutine, while sending")
)

// Bounds of the pause between streams that bring no answer. The first retry is
// at once: most streams end because a leader has gone in good order, and then
// the next one is there. The pacer bounds what that can cost.
const (
	minBackoff = 10 * time.Millisecond
	maxBackoff = 80 * time.Millisecond
)

// maxBadAnswers is how many streams in a row may end with an answer that cannot
// be used before the callers hear of it.
const maxBadAnswers = 3

// removalGrace is for how long every list of members must be without an allocator
// for a dc-location that had one, before it counts as removed. A move of the
// allocator hides it for some 0.3 s, a change of the PD leader for up to 3 s, and
// a slow election in between for longer. A client that has never been served there, and may
// have the name wrong, waits for a quarter of it: all of these but the last.
const (
	removalGrace  = 15 * time.Second
	unservedShare = 4
)

// run serves the lane until it is closed.
func (l *lane) run() {
	ctx := l.ctx
	defer l.wind()
	defer l.outlive()()
	l.beside.Go(l.attend)
	if l.dc == globalDC {
		l.beside.Go(l.widen)
		l.startBeside()
	}
	for ctx.Err() == nil {
		err := l.connectAndReceive(ctx)
		if ctx.Err() != nil {
			break
		}
		l.failures++
		l.blame(err)
		l.pause(ctx, l.react(ctx, err))
	}
}

// wind ends what the run goroutine has begun, when the lane is closed.
func (l *lane) wind() {
	l.beside.Wait()
	if a := l.takeProved(); a != nil {
		a.drop(ErrClosed)
	}
	if a := l.standby.Swap(nil); a != nil {
		a.drop(ErrClosed)
	}
	l.tickTimer.Stop()
	l.lingerTimer.Stop()
}

// startBeside starts what looks for other streams. The lane of a dc-location has no use for
// it before there is a member to go to.
func (l *lane) startBeside() {
	l.beside.Go(l.watch)
	if l.env.forwarding {
		l.beside.Go(l.patrol)
	}
}

// connectAndReceive is the life of one stream.
func (l *lane) connectAndReceive(ctx context.Context) error {
	if l.env.target(l.dc) == "" && len(l.proved) == 0 {
		return l.awaitTarget(ctx)
	}
	if l.neverServed() {
		l.startBeside()
	}
	l.served, l.missing = true, 0
	a, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer a.drop(nil)
	l.env.stats.streams.Add(1)
	if a.rescued() {
		a.keep()
		l.tellCutOver(a)
	}
	l.rtt = roundTrip{}
	f := newFlight(a)
	l.startPatience(f)
	l.setCurrent(f)
	l.takeSeat()
	l.settle()
	err = l.receive(f)
	l.current.CompareAndSwap(f, nil) // close may have been faster
	a.stream.Close(err)
	l.takeSeat() // takes back what was in flight
	return err
}

// settle has what must keep up with the stream look at it.
func (l *lane) settle() { nudge(l.settled) }

func (l *lane) tellCutOver(a *attempt) {
	if a.over != nil {
		l.env.log.Info("spreading requests over members", zap.String("target", a.target), zap.Strings("members", a.over))
		return
	}
	l.env.stats.cutOvers.Add(1)
	l.env.log.Info("going on with a new connection", zap.String("dc-location", l.dc), zap.Stringer("route", a.route))
}

// receive deals with one answer after another, until the stream ends or brings
// one that cannot be used.
func (l *lane) receive(f *flight) error {
	for {
		if err := f.stream.Recv(&l.response); err != nil {
			return fmt.Errorf("stream to %s: %w", f.url, err)
		}
		if err := l.answer(f, &l.response); err != nil {
			return err
		}
	}
}

// answer checks an answer and shares it out.
func (l *lane) answer(f *flight, response *wire.Response) error {
	slot := f.oldest()
	if slot == nil {
		return l.bad(f, errUnsolicited)
	}
	count := slot.count
	if err := response.Check(count, l.env.clusterID()); err != nil {
		return l.bad(f, err)
	}
	now := l.env.now()
	if !l.suffix.believe(response.SuffixBits, f.url, now) {
		return errSuffixForgotten
	}
	if err := l.checkTime(response.Physical, now); err != nil {
		return l.bad(f, err)
	}
	granted := batch.Share(response.Physical, response.Logical, count, response.SuffixBits)
	if first := granted.At(0); first <= l.high.ts {
		return l.fellBack(f, first)
	}
	if l.failures > 0 {
		l.recovered()
	}
	l.handOut(granted.At(int(count)-1), now)
	l.measure(f, slot, now)
	b := slot.batch
	mine := b.Claim(slot.number)
	if !mine {
		// Its requests have run out of budget, or those that have are just
		// being taken out; then who does that shares out the answer.
		slot.granted = granted
		mine = b.Settle(slot.number)
	}
	// The next batch leaves before this one's callers are woken: they would
	// only come behind those who wait already.
	f.answered()
	if l.ring.Len() > 0 || l.queued.Load() > 0 {
		l.look()
	}
	if mine {
		l.share(b, count, granted)
	}
	return nil
}

// measure takes account of how long an RPC took: where PD is far more of them may be
// under way at a time, and the stream may be silent for longer. The answer ends
// all doubts about it.
func (l *lane) measure(f *flight, slot *flightSlot, now int64) {
	took := now - slot.sentAt.Load()
	least := l.rtt.add(took, now)
	if f.serial {
		f.slowest = max(took, f.slowest-f.slowest/slowestFades)
	}
	f.deepen(l.env.depth(time.Duration(least)))
	if patience := l.patienceWith(f); patience != l.patience.Load() {
		l.patience.Store(patience)
	}
	if s := l.suspicion.Load(); s != nil {
		l.trust(s)
	}
}

// share hands out the count timestamps granted to a batch, which the caller owns. Where
// requests have left the batch since it was sent, timestamps are lost.
func (l *lane) share(b *requestBatch, count uint32, granted batch.Range) {
	requests := b.Requests()
	if len(requests) == int(count) { // so each asks for one, and none has left
		for i, r := range requests {
			r.finish(granted.At(i))
		}
	} else {
		shareByWeight(requests, granted)
	}
	l.freeBatch(b)
}

// shareByWeight gives each request as many neighbours of the range as it asks for, in
// order. The requests that have left only make the sum smaller: it ends within the range.
func shareByWeight(requests []*request, granted batch.Range) {
	next, step := 0, granted.Step()
	for _, r := range requests {
		first := granted.At(next)
		next += int(r.weight) // before finish, which gives r up
		r.step = step
		r.finish(first)
	}
}

// recovered forgets what has gone wrong before a good answer.
func (l *lane) recovered() {
	l.failures, l.badAnswers, l.fallback = 0, 0, nil
	l.cause.Store(nil)
	l.regained.Store(true)
	l.mayWiden()
}

// blame remembers err as the reason why calls do not come to their end. A
// fallback stays part of it until a good answer comes: a stream that breaks later
// is not what somebody has to look into.
func (l *lane) blame(err error) {
	if pderr.Classify(err) == pderr.ClusterMismatch {
		err = strayed{err}
	}
	if l.fallback != nil && !errors.Is(err, ErrTimestampFallback) {
		err = fmt.Errorf("%w; and then: %w", l.fallback, err)
	}
	l.cause.Store(&err)
}

// bad makes an error of an answer that cannot be used.
func (l *lane) bad(f *flight, err error) error {
	l.env.stats.badAnswers.Add(1)
	l.env.log.Warn("bad answer from PD, dropping the stream",
		zap.String("dc-location", l.dc), zap.String("url", f.url), zap.Error(err))
	if errors.Is(err, wire.ErrCluster) {
		return fmt.Errorf("%w: %s: %w", ErrClusterMismatch, f.url, err)
	}
	var fromServer *wire.ServerError
	if errors.As(err, &fromServer) {
		return fmt.Errorf("%s: %w", f.url, err)
	}
	l.badAnswers++
	return badResponse(f.url, err)
}

// fellBack makes an error of a grant that is not above what was granted before.
func (l *lane) fellBack(f *flight, first uint64) error {
	l.env.stats.fallbacks.Add(1)
	event := FallbackEvent{DCLocation: l.dc, URL: f.url, Granted: first, Highest: l.high.ts}
	l.env.log.Error("timestamp fallback: PD granted again what it had granted, dropping the stream",
		zap.String("dc-location", l.dc), zap.String("url", f.url),
		zap.Uint64("granted", first), zap.Uint64("highest", l.high.ts))
	if l.env.fallback != nil {
		l.env.fallback(event)
	}
	l.fallback = event.err()
	return l.fallback
}

// awaitTarget asks for news of the members when none is known to serve the
// dc-location.
func (l *lane) awaitTarget(ctx context.Context) error {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.dialed.Store(&attempt{cancel: cancel}) // for cutOver; see there
	if len(l.proved) > 0 {
		return errCutOver
	}
	err := l.awaitList(waiting)
	switch {
	case len(l.proved) > 0:
		return errCutOver
	case l.env.target(l.dc) != "":
		return errMoved
	case err != nil:
		l.missing = 0
		return err // they cannot be asked: nothing is known of the dc-location
	case l.dc == globalDC:
		return ErrNoLeader
	}
	now := l.env.now()
	if l.missing == 0 {
		l.missing = now
	}
	grace := int64(l.env.grace)
	if !l.served {
		grace /= unservedShare
	}
	if now-l.missing < grace {
		return fmt.Errorf("dc-location %q: %w", l.dc, errNotServed)
	}
	return fmt.Errorf("%w: PD has no allocator for %q; is Local TSO on, and does a member have this zone label?", ErrUnknownDCLocation, l.dc)
}

// awaitList returns once news of the members have come, or with the reason why not.
func (l *lane) awaitList(ctx context.Context) error {
	if l.neverServed() {
		return l.env.unknown.await(ctx, l.env.now, l.env.refreshWait)
	}
	return l.env.refreshWait(ctx)
}

// membersChanged moves the lane if another member serves it now. Any goroutine
// may call it.
func (l *lane) membersChanged() {
	if a := l.dialed.Load(); a != nil && l.outdated(a) {
		a.cancel(errMoved)
	}
	if s := l.suspicion.Load(); s != nil && l.dc == globalDC { // whose rounds may be long
		s.hear()
	}
	l.mayWiden()
	nudge(l.poke)
}

// backoff returns a pause that doubles with each failure, and up to a quarter
// more so that clients do not come back in step. At its longest it keeps to ten
// streams a second.
func (l *lane) backoff() time.Duration {
	return jittered(min(minBackoff<<min(l.failures-1, 10), maxBackoff))
}

// pause waits for d, for news of the members, or until the lane is closed.
func (l *lane) pause(ctx context.Context, d time.Duration) { wait(ctx, d, l.poke) }

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) { wait(ctx, d, nil) }

func wait(ctx context.Context, d time.Duration, poke <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-poke:
	case <-ctx.Done():
	}
}
