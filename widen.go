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
// of the members beside it. Each of them has to answer a request that nobody waits for,
// since the first one that a follower passes on to a leader takes it the longest; then
// the lane cuts over to those that have. One that says nothing delays nobody.

// Bounds of the pause until a lane that has had to leave members out tries them again.
// It doubles each time.
const (
	minWidenPause = 100 * time.Millisecond
	maxWidenPause = time.Minute
)

// widening is the search for a stream over the members to a target.
type widening struct {
	target  string
	members []string
	pause   time.Duration // 0 if no member has been left out
	due     int64         // when the next try may begin
}

// mayWiden has the lane see whether requests should be spread. Any goroutine may call it.
func (l *lane) mayWiden() {
	select {
	case l.wide <- struct{}{}:
	default:
	}
}

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
	if w.target != a.target || !slices.Equal(w.members, members) {
		*w = widening{target: a.target, members: members}
	}
	now := l.env.now()
	if now < w.due {
		return time.Duration(w.due - now)
	}
	if wait := l.env.pace.reserveSpread(now, len(members)); wait > 0 {
		return wait
	}
	wide := l.openWide(a.target, members)
	w.tried(len(wide.over), l.env.now())
	if current := l.dialed.Load(); current.target != a.target || l.outdated(wide) || !wide.widens(current) {
		wide.drop(errMoved)
	} else {
		l.cutOver(wide)
	}
	return w.pause
}

// tried notes that so many members have answered.
func (w *widening) tried(answered int, now int64) {
	if answered == len(w.members) {
		w.pause = 0
	} else {
		w.pause = min(max(2*w.pause, minWidenPause), maxWidenPause)
	}
	w.due = now + int64(w.pause)
}

// widens reports whether a goes to other members than b does, and not to fewer.
func (a *attempt) widens(b *attempt) bool {
	return len(a.over) >= len(b.members()) && !slices.Equal(a.over, b.members())
}

// openWide opens a stream over those of the members that answer through it within the
// RPC timeout, which may be none.
func (l *lane) openWide(target string, members []string) *attempt {
	a := &attempt{route: direct(target), listed: l.env.target(l.dc)}
	ctx, cancel := context.WithCancelCause(l.ctx)
	a.cancel = cancel
	streams, began := make([]oneOfMany, len(members)), l.env.now()
	forEach(streams, func(s *oneOfMany, i int) {
		s.ctx, s.cancel = context.WithCancelCause(ctx)
		s.within(l.env.timeout, func() (err error) {
			l.env.stats.probes.Add(1)
			if s.tsoStream, err = l.env.open(s.ctx, l.dc, route{target: target, via: members[i]}); err != nil {
				return err
			}
			return l.roundTrip(s)
		})
	})
	if l.env.now()-began > int64(minPatience) {
		// Those that were fast may have gone dead while others were awaited.
		forEach(streams, func(s *oneOfMany, _ int) {
			if s.ctx.Err() == nil {
				s.within(l.env.timeout, func() error { return l.roundTrip(s) })
			}
		})
	}
	var good []tsoStream
	for i, s := range streams {
		if s.ctx.Err() == nil {
			good, a.over = append(good, s.tsoStream), append(a.over, members[i])
		}
	}
	a.stream = newSpread(ctx, cancel, good)
	a.proved = l.env.now()
	return a
}

// oneOfMany is the stream through one member, which lives in ctx.
type oneOfMany struct {
	tsoStream
	ctx    context.Context
	cancel context.CancelCauseFunc
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
