package tso

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso/internal/pderr"
)

// This file runs on the lane's run goroutine: it deals with failures.
//
// A connection is part of what may be wrong. Names and addresses move from one process to
// another, and a connection that was made meanwhile stays where it led. So an answer that
// cannot come from the member which was meant puts the connection in doubt, and is believed
// only when a new one has brought it as well.

// mismatchPause is the pause after callers have been told of a cluster mismatch.
const mismatchPause = 400 * time.Millisecond

// react does what a failure asks for, and returns how long to wait before the
// next stream.
func (l *lane) react(ctx context.Context, err error) time.Duration {
	moved := errors.Is(err, errMoved) || errors.Is(err, errCutOver)
	if !moved && l.failures&(l.failures-1) == 0 { // the 1st, 2nd, 4th, 8th …
		l.env.log.Info("no TSO stream",
			zap.String("dc-location", l.dc), zap.Int("failures", l.failures), zap.Error(err))
	}
	if !errors.Is(err, ErrBadResponse) {
		l.badAnswers = 0
	}
	switch class := pderr.Classify(err); {
	case moved:
		return 0
	case errors.Is(err, ErrUnknownDCLocation):
		// Forgotten first: whoever calls after a call has failed gets a
		// lane that asks PD anew.
		l.env.forget(l)
		l.close(err)
		return 0
	case errors.Is(err, ErrClusterMismatch), class == pderr.ClusterMismatch:
		l.suspect(true)
		if l.checkCluster(ctx, err) {
			return jittered(mismatchPause)
		}
	case class.Final():
		l.refused(err)
	case l.badAnswers >= maxBadAnswers:
		l.fail(err)
		l.env.refresh()
		return l.backoff()
	case l.neverServed():
		// Nobody has said yet that there is such a dc-location: it is asked for in
		// awaitTarget, and nowhere else.
	default:
		l.refresh()
		if a := l.dialed.Load(); a != nil && a.over == nil {
			l.refute(a.route, err)
		}
		l.suspectFor(class, err)
		if l.failures == 1 && class != pderr.NotLeader && !pderr.Misdirected(err) {
			return 0
		}
	}
	if l.suspicion.Load() != nil {
		return runPause // who finds a stream, or a new leader, ends it
	}
	return l.backoff()
}

// refused deals with a failure that callers get, as no later try will do better. It may be
// another server's that the connection has come to lead to, so a new one must have brought
// it: this one, or one that is tried now; see search.lost. Lists are asked for on new ones.
func (l *lane) refused(err error) {
	a := l.dialed.Load()
	if a.target == "" || a.fresh && l.env.now()-a.proved < int64(staleAfter) {
		l.fail(err)
	}
	l.suspect(true)
}

// suspectFor has the lane look for another stream if the failure says that there is a
// better one.
func (l *lane) suspectFor(class pderr.Class, err error) {
	switch {
	case class == pderr.NotLeader, errors.Is(err, errNotServed):
		l.suspect(false)
	case pderr.Misdirected(err):
		l.suspect(true)
	case l.goesAround():
		l.suspect(l.failures > 1)
	case pderr.Unreachable(err) && (l.failures > 1 || l.forwards()):
		l.suspect(true)
	case pderr.Answered(err) && l.failures > 1:
		l.suspect(false)
	case pderr.FromPeer(err) && l.failures > 1:
		l.suspect(true)
	}
}

// checkCluster tells callers of a cluster mismatch, and reports true, if all members say so;
// otherwise it may be one address that has changed hands. It ends early when another stream has proved itself,
// or there is another member to go to.
func (l *lane) checkCluster(ctx context.Context, cause error) (told bool) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &attempt{route: direct(l.env.target(l.dc)), cancel: cancel}
	l.dialed.Store(a) // for cutOver and membersChanged; see there
	if len(l.proved) > 0 || l.outdated(a) {
		return false
	}
	err := l.env.sameCluster(waiting)
	if !errors.Is(err, ErrClusterMismatch) || waiting.Err() != nil {
		return false
	}
	l.fail(fmt.Errorf("%w; and %w", err, cause))
	return true
}

// fail lets the holder of the send seat fail everything that waits now.
func (l *lane) fail(err error) {
	l.surface.Store(&err)
	l.takeSeat()
}
