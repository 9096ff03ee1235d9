package tso

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// This file runs where requests may be forwarded. While a lane reaches its member by
// itself, it keeps a stream through another member beside that, the standby: to open one
// when it is needed takes PD 15 to 40 ms, for a list and for its own connection to the
// leader.
//
// What members pass on to the leader for all their clients goes through one queue each, that
// ends with the stream which began it, or when an RPC of it fails and nobody asks on that
// stream (DispatchRequest in pkg/utils/tsoutil/tso_dispatcher.go). So clients begin with
// different members, a standby is asked every few seconds, and it is kept as long as it
// serves.

const (
	// homeInterval is how often a lane whose requests are forwarded tries to do without,
	// and how often one that has no calls asks its member for its health.
	homeInterval = time.Second
	// standbyInterval is how often a standby is asked whether it still serves.
	standbyInterval = 3 * time.Second
)

// patrol looks after the lane's routes once a second, and whenever there is another
// stream.
func (l *lane) patrol() {
	ticker := time.NewTicker(homeInterval)
	defer ticker.Stop()
	for turn := rand.IntN(1 << 16); ; turn++ {
		select {
		case <-l.ctx.Done():
			return
		case <-l.settled:
		case <-ticker.C:
			l.inspect()
		}
		l.keepStandby(turn)
	}
}

// inspect sees whether a lane whose requests are forwarded can do without, and whether
// the member of one that has no calls is well.
func (l *lane) inspect() {
	a := l.steady()
	switch {
	case a == nil:
	case !a.isDirect():
		l.tryHome(a)
	case l.idle() && slices.Contains(a.members(), a.target):
		l.checkHealth(a)
	}
}

// steady returns what the lane's requests go to, nil if there is nothing or it is doubted.
func (l *lane) steady() *attempt {
	a := l.dialed.Load()
	if a == nil || a.target == "" || l.suspicion.Load() != nil {
		return nil
	}
	return a
}

// tryHome goes back to the direct route if that works, and the lane has not gone on to
// another one meanwhile.
func (l *lane) tryHome(a *attempt) {
	ctx, cancel := context.WithTimeout(l.ctx, homeInterval)
	defer cancel()
	home := l.proveInTurn(ctx, try{route: direct(a.target), fresh: true})
	switch {
	case home == nil:
	case l.dialed.Load() != a:
		home.drop(errMoved)
	default:
		l.cutOver(home)
	}
}

// proveInTurn returns what t leads to if there is a turn for it and it serves, or nil.
func (l *lane) proveInTurn(ctx context.Context, t try) *attempt {
	wait, ok := l.env.pace.reserveTry(l.env.now(), t, &l.asks)
	if !ok {
		return nil
	}
	sleep(ctx, wait)
	a, err := l.prove(ctx, t)
	if err != nil {
		return nil
	}
	return a
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

// keepStandby sees to it that a lane which reaches its member by itself has a standby.
// Whoever takes it out of the lane owns it.
func (l *lane) keepStandby(turn int) {
	a := l.steady()
	if a == nil || !l.forwards() || !a.isDirect() || a.over != nil {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, homeInterval)
	defer cancel()
	standby := l.standby.Swap(nil)
	switch {
	case standby == nil:
	case l.outdated(standby):
		standby.drop(errMoved)
		standby = nil
	case l.env.now()-standby.proved > int64(standbyInterval):
		if l.proveBy(ctx, standby, func() error { return l.roundTrip(standby.stream) }) != nil {
			standby = nil
		}
	}
	if standby == nil {
		standby = l.newStandby(ctx, a.target, turn)
	}
	if standby != nil {
		l.putStandby(standby)
	}
}

// putStandby makes a the standby, unless there is one already. The patrol goroutine ends
// the last one.
func (l *lane) putStandby(a *attempt) {
	if !l.standby.CompareAndSwap(nil, a) {
		a.drop(errMoved)
	}
}

// newStandby opens a stream to target through one of the others, by turns.
func (l *lane) newStandby(ctx context.Context, target string, turn int) *attempt {
	others := slices.DeleteFunc(slices.Clone(l.env.members()), func(m string) bool { return m == target })
	if len(others) == 0 {
		return nil
	}
	return l.proveInTurn(ctx, try{route: route{target: target, via: others[turn%len(others)]}})
}

// standbyAhead is how long a standby has before others are tried beside it. It answers
// within 2 ms in an idle process, and tries of all members at once take that from it.
const standbyAhead = 10 * time.Millisecond

// favourStandby asks the standby, if there is one that is worth it, and returns when it
// has won or failed, or has been silent for a while: then it goes on trying. One that
// answers when it is needed no more is the standby again.
func (r *search) favourStandby(asking *sync.WaitGroup) {
	l, s := r.lane, r.suspicion
	standby := l.standby.Swap(nil)
	switch {
	case standby == nil:
		return
	case l.outdated(standby):
		standby.drop(errMoved)
		return
	}
	failed := make(chan struct{})
	asking.Go(func() {
		if l.proveBy(l.ctx, standby, func() error { return l.roundTrip(standby.stream) }) != nil {
			close(failed)
			return
		}
		select {
		case r.won <- standby:
		case <-s.ctx.Done():
			l.putStandby(standby)
		}
	})
	silent := time.NewTimer(standbyAhead)
	defer silent.Stop()
	select {
	case a := <-r.won:
		r.win(a)
	case <-failed:
	case <-silent.C:
	case <-s.ctx.Done():
	}
}
