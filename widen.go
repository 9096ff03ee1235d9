package tso

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// With the TSO follower proxy on, requests are spread over all members. A lane does not
// wait for that: it begins with a stream to the leader alone, and opens one through each
// of the members beside it. Each of them has to answer two requests that nobody waits for,
// since the first one that a follower passes on to a leader takes it the longest; then
// the lane cuts over to those that have. One that says nothing delays nobody.

// Bounds of the pause until a lane that has had to leave members out tries them again.
// It doubles each time.
const (
	minWidenPause = 100 * time.Millisecond
	maxWidenPause = time.Minute
)

// unreachedPause is the pause after a try that none has answered. It ends when the lane is
// served again, or has another target, for which the turns will be needed.
const unreachedPause = 15 * time.Second

// widenPatience is how long a member may take to answer, within the RPC timeout.
const widenPatience = 3 * time.Second

// widening is the search for a stream over the members to a target.
type widening struct {
	target   string
	members  []string
	beside   *attempt      // the stream that it was last looked for beside
	answered int           // members in the last try
	pause    time.Duration // after that, 0 if all of them have answered
	due      int64         // when the next try may begin
}

// mayWiden has the lane see whether requests should be spread. Any goroutine may call it.
func (l *lane) mayWiden() { nudge(l.wide) }

// widen spreads requests over all members where they should be, until the lane is closed.
func (l *lane) widen() {
	var w widening
	again := time.NewTimer(maxWidenPause)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-l.wide:
		case <-again.C:
		case <-l.ctx.Done():
			return
		}
		if wait := l.tryWider(&w); wait > 0 {
			again.Reset(wait)
		}
	}
}

// tryWider goes on with a stream over more members than the present one has, if there
// should be one and it can be had. It returns after how long to call it again, 0 if that
// is of no use before the lane has another stream or PD other members.
func (l *lane) tryWider(w *widening) time.Duration {
	a, members := l.dialed.Load(), l.spread()
	if a == nil || a.target == "" || members == nil || slices.Equal(a.over, members) || len(l.proved) > 0 {
		return 0 // where another stream is about to be taken, that calls again
	}
	w.follow(a, members, l.regained.Swap(false))
	now := l.env.now()
	if now < w.due {
		return time.Duration(w.due - now)
	}
	if wait := l.env.pace.reserveSpread(now, len(members)); wait > 0 {
		return wait
	}
	wide := l.openWide(a.target, members)
	taken := l.isWider(wide, w)
	if taken {
		l.cutOver(wide)
	} else {
		wide.drop(errMoved)
	}
	return w.tried(len(wide.over), taken, l.env.now())
}

// follow forgets what has been tried when that was for another target or other members,
// when the lane has lost the stream that was got by it, or when it has regained a target
// that none could reach.
func (w *widening) follow(a *attempt, members []string, regained bool) {
	lost := w.beside != a && a.over == nil
	switch {
	case w.target != a.target || !slices.Equal(w.members, members):
		*w = widening{target: a.target, members: members}
	case w.answered > 0 && lost, w.answered == 0 && regained:
		w.pause, w.due = 0, 0
	}
	w.beside = a
}

// tried notes that so many members have answered, and whether the lane goes on with these,
// and returns the pause after that.
func (w *widening) tried(answered int, taken bool, now int64) time.Duration {
	if w.answered == 0 {
		w.pause = 0
	}
	w.answered = answered
	switch {
	case answered == 0:
		w.pause = unreachedPause
	case taken && answered == len(w.members):
		w.pause = 0
	default:
		w.pause = min(max(2*w.pause, minWidenPause), maxWidenPause)
	}
	w.due = now + int64(w.pause)
	return w.pause
}

// isWider reports whether the lane is better off with a than with what it has now: it goes
// where the lane goes, and over more members, or as many if those that there are are
// suspected, or include some that have been removed.
func (l *lane) isWider(a *attempt, w *widening) bool {
	current := l.dialed.Load()
	if current.target != a.target || len(l.proved) > 0 || l.stale(a) || slices.Equal(a.over, current.members()) {
		return false
	}
	kept := 0
	for _, m := range current.members() {
		if slices.Contains(w.members, m) {
			kept++
		}
	}
	if len(a.over) == kept {
		return kept > 0 && (kept < len(current.members()) || l.suspicion.Load() != nil)
	}
	return len(a.over) > kept
}

// openWide opens a stream over those of the members that answer through it in time, which
// may be none.
func (l *lane) openWide(target string, members []string) *attempt {
	a := &attempt{route: direct(target), listed: l.env.target(l.dc)}
	ctx, cancel := context.WithCancelCause(l.ctx)
	a.cancel = cancel
	patience := min(l.env.timeout, widenPatience)
	streams := make([]oneOfMany, len(members))
	forEach(streams, func(s *oneOfMany, i int) {
		s.ctx, s.cancel = context.WithCancelCause(ctx)
		s.within(patience, func() (err error) {
			l.env.stats.probes.Add(1)
			if s.tsoStream, err = l.env.open(s.ctx, l.dc, route{target: target, via: members[i]}); err != nil {
				return err
			}
			return l.roundTrip(s)
		})
	})
	// Once more: a first answer takes a follower longer than those after it, and who was
	// fast may have gone dead while others were awaited.
	a.proved = l.env.now()
	forEach(streams, func(s *oneOfMany, _ int) {
		if s.ctx.Err() == nil {
			s.within(min(patience, staleAfter/2), func() error { return l.roundTrip(s) })
			s.took = l.env.now() - a.proved
		}
	})
	var good []tsoStream
	for i, s := range streams {
		if s.ctx.Err() == nil {
			good, a.over = append(good, s.tsoStream), append(a.over, members[i])
			a.slowest = max(a.slowest, s.took)
		}
	}
	a.stream = newSpread(ctx, cancel, good)
	return a
}

// oneOfMany is the stream through one member, which lives in ctx.
type oneOfMany struct {
	tsoStream
	ctx    context.Context
	cancel context.CancelCauseFunc
	took   int64 // its last answer
}

// within ends the stream if f takes longer than d or fails.
func (s *oneOfMany) within(d time.Duration, f func() error) {
	late := time.AfterFunc(d, func() { s.cancel(errDialTimeout) })
	if err := f(); !late.Stop() || err != nil {
		s.cancel(errors.Join(err, errDialTimeout))
	}
}

// forEach calls f for all streams at once, and returns when all calls have.
func forEach(streams []oneOfMany, f func(s *oneOfMany, i int)) {
	var calls sync.WaitGroup
	for i := range streams {
		calls.Go(func() { f(&streams[i], i) })
	}
	calls.Wait()
}
