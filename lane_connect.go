package tso

import (
	"context"
	"fmt"
	"time"
)

// This file runs on the lane's run goroutine: it opens streams.

// attempt is a stream that is being opened, or is open, and where it leads to.
type attempt struct {
	route
	// over are the members that requests are spread over, nil if all go to via.
	over []string
	// slowest is how long the slowest of these took to answer when all were asked.
	slowest int64
	cancel  context.CancelCauseFunc
	stream  tsoStream // nil while it is being opened

	// Of a stream that has been tried out beside another one: when it brought an
	// answer, whether on a connection that was made for it, that connection if it is
	// not the one for all, and which member the list said to serve the dc-location at
	// that time.
	proved int64
	fresh  bool
	conn   connection
	listed string
}

// connection is one that a lane has made for itself. keep makes it the one for all who
// want to go there, and reports false if another one has become that meanwhile. drop
// ends it.
type connection interface {
	keep() bool
	drop()
}

// rescued reports whether the stream has been tried out beside another one.
func (a *attempt) rescued() bool { return a.proved > 0 }

// members are those that its requests go to.
func (a *attempt) members() []string {
	if a.over == nil {
		return []string{a.via}
	}
	return a.over
}

// keep makes the connection of an attempt that is used the one for all, if need be.
func (a *attempt) keep() {
	if a.conn != nil && a.conn.keep() {
		a.conn = nil
	}
}

// drop ends an attempt, and the connection that it has for itself.
func (a *attempt) drop(cause error) {
	a.cancel(cause)
	if a.conn != nil {
		a.conn.drop()
	}
}

// connect returns a stream: one that has proved itself if there is one, or else one
// that it opens when the client's turn has come for that.
func (l *lane) connect(ctx context.Context) (*attempt, error) {
	a := l.takeProved()
	if a == nil {
		a = l.turn(ctx)
	}
	if a == nil {
		a = &attempt{route: direct(l.env.target(l.dc))}
		ctx, a.cancel = context.WithCancelCause(ctx)
	}
	l.dialed.Store(a)
	if better := l.takeProved(); better != nil {
		a.drop(errCutOver)
		a = better
		l.dialed.Store(a)
	}
	l.mayWiden()
	if a.target == "" || l.outdated(a) {
		// The members have changed, and membersChanged may have looked at the
		// attempt before this one.
		a.drop(errMoved)
		return nil, errMoved
	}
	if a.stream != nil {
		return a, nil
	}
	if err := l.open(ctx, a); err != nil {
		a.cancel(err)
		return nil, fmt.Errorf("opening a stream to %v: %w", a.route, err)
	}
	return a, nil
}

// turn waits until the lane may open a stream, or one has proved itself, which it
// returns, or ctx has ended.
func (l *lane) turn(ctx context.Context) *attempt {
	again := l.failures > 1 && !l.hasNews()
	for {
		wait, ok := l.env.pace.reserve(l.env.now(), again)
		a, now := l.awaitTurn(ctx, wait)
		if ok || now || ctx.Err() != nil {
			return a
		}
	}
}

// awaitTurn waits for d. It returns earlier, and true, when a stream has proved itself,
// or there are news and a turn for those.
func (l *lane) awaitTurn(ctx context.Context, d time.Duration) (a *attempt, now bool) {
	if d <= 0 {
		return nil, false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case proved := <-l.proved:
			if a = l.stillGood(proved); a != nil {
				return a, true
			}
		case <-l.poke:
			if l.hasNews() && l.env.pace.reserveFirst(l.env.now()) {
				return nil, true
			}
		case <-timer.C:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
}

// hasNews reports whether the members have changed since the last attempt. One after
// that is none of a series that brings nothing.
func (l *lane) hasNews() bool {
	a := l.dialed.Load()
	return a != nil && l.outdated(a)
}

// open opens the stream of a within the RPC timeout. Where that takes long, others are
// tried beside it.
func (l *lane) open(ctx context.Context, a *attempt) error {
	late := time.AfterFunc(l.env.timeout, func() { a.cancel(errDialTimeout) })
	slow := time.AfterFunc(minPatience, func() { l.suspect(true) })
	defer slow.Stop()
	stream, err := l.env.open(ctx, l.dc, a.route)
	if !late.Stop() && err == nil {
		stream.Close(errDialTimeout)
		return errDialTimeout
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	a.stream = stream
	return err
}
