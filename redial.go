package tso

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Where a path drops packets nothing tells that it is back, and a kernel repeats what begins a
// connection after a second, and then after twice as long each time. So while a client is in
// trouble, connects that are not answered are repeated on other sockets beside them.

const (
	// answerDue is how long a connect may take before it is to be repeated: few members are
	// further, with the turn that is waited for.
	answerDue = 200 * time.Millisecond
	// repeatLife is for how long a repeated connect may take. The first one stays, for who is
	// that far away, or that slow to look up.
	repeatLife = 500 * time.Millisecond
)

// dialed is what a connect has come to.
type dialed struct {
	conn net.Conn
	err  error
}

// repeat connects to the member at url, and again beside that while it is not answered. The
// first connect to be answered ends the others.
func (c *client) repeat(ctx context.Context, url string, dial func(context.Context) (net.Conn, error)) (conn net.Conn, err error) {
	first, others, over := make(chan dialed), make(chan dialed), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	var dials sync.WaitGroup
	defer dials.Wait()
	defer close(over)
	defer cancel()
	dials.Go(func() { handOver(ctx, dial, first, over) })
	again := func() {
		dials.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, repeatLife)
			defer cancel()
			handOver(ctx, dial, others, over)
		})
	}
	h := make(hanging, 1)
	defer func() { c.unanswered.leave(url, h, err == nil) }()
	turn, taken := time.NewTimer(answerDue), false
	defer turn.Stop()
	for {
		select {
		case d := <-first:
			return d.conn, d.err
		case d := <-others: // a refusal, too, shows that packets arrive
			if d.err == nil || errors.Is(d.err, syscall.ECONNREFUSED) {
				return d.conn, d.err
			}
		case <-h:
			again()
		case <-turn.C:
			if taken {
				again()
			}
			var wait time.Duration
			wait, taken = c.reserveRepeat(url, h)
			turn.Reset(wait)
		}
	}
}

// handOver connects and tells what has come of it, unless that is over.
func handOver(ctx context.Context, dial func(context.Context) (net.Conn, error), ended chan<- dialed, over <-chan struct{}) {
	conn, err := dial(ctx)
	select {
	case ended <- dialed{conn, err}:
	case <-over:
		if err == nil {
			_ = conn.Close() // it has just been made
		}
	}
}

// reserveRepeat takes a turn to repeat a connect, if the client is in trouble and no other one
// to the same member is repeated. It returns how long to wait for it, or false and after how long
// to ask again.
func (c *client) reserveRepeat(url string, h hanging) (wait time.Duration, ok bool) {
	switch {
	case !c.inTrouble():
		return repeatLife, false
	case !c.unanswered.join(url, h):
		return repeatRate.interval, false
	}
	return c.pace.reserveRepeat(c.now())
}

// inTrouble reports whether somebody may be waiting for a connection: a lane has no stream, or
// one that is suspected.
func (c *client) inTrouble() bool {
	lanes := c.lanes.Load()
	if lanes == nil {
		return true // still finding the cluster
	}
	for _, l := range *lanes {
		if l.current.Load() == nil || l.suspicion.Load() != nil {
			return true
		}
	}
	return false
}

// hanging is a connect that is not answered. It is told when another one to the same member is.
type hanging chan struct{}

// unanswered are the connects that hang, by the URL of the member. The first to each is
// repeated, for all of them: who else is not answered has its turns too.
type unanswered struct {
	mu    sync.Mutex
	byURL map[string][]hanging // guarded by mu
}

// join adds a connect to those to url, and reports whether it is the first.
func (u *unanswered) join(url string, h hanging) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byURL == nil {
		u.byURL = make(map[string][]hanging)
	}
	if !slices.Contains(u.byURL[url], h) {
		u.byURL[url] = append(u.byURL[url], h)
	}
	return u.byURL[url][0] == h
}

// leave removes a connect, if it was there, and tells the others if it was answered.
func (u *unanswered) leave(url string, h hanging, answered bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	others := slices.DeleteFunc(u.byURL[url], func(other hanging) bool { return other == h })
	if len(others) == 0 {
		delete(u.byURL, url)
		return
	}
	u.byURL[url] = others
	if !answered {
		return
	}
	for _, other := range others {
		nudge(other)
	}
}
