package tso

import (
	"context"
	"sync/atomic"
	"time"
)

// A dc-location that PD's lists do not have may be about to come into being, or be a
// mistake. Its lane does nothing but ask for lists, and there may be hundreds of them, as
// where somebody takes the names of tenants for those of dc-locations. So all lanes that
// have never been served share these lists, and the client asks for few of them.

// unknownRate is how often. The first ones are for a dc-location that has just come.
var unknownRate = rate{burst: 10, interval: 500 * time.Millisecond}

// unknownLists are the lists that a client's lanes without a member wait for.
type unknownLists struct {
	next atomic.Pointer[unknownList] // the one that has not been asked for yet
	pace allowance
}

// unknownList is one of them.
type unknownList struct {
	done chan struct{}
	lost bool // who was to ask for it has gone
	err  error
}

// await returns once there is a list that ask has been called for after the call began, or
// with the reason why not.
func (u *unknownLists) await(ctx context.Context, now func() int64, ask func(context.Context) error) error {
	for {
		next := u.next.Load()
		if next == nil {
			next = &unknownList{done: make(chan struct{})}
			if u.next.CompareAndSwap(nil, next) {
				return u.ask(ctx, next, now(), ask)
			}
			continue
		}
		select {
		case <-next.done:
			if !next.lost {
				return next.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ask asks for a list when the client's turn has come for it.
func (u *unknownLists) ask(ctx context.Context, list *unknownList, now int64, ask func(context.Context) error) error {
	wait, _ := u.pace.take(now, unknownRate, forever)
	sleep(ctx, wait)
	u.next.Store(nil) // who comes now may be too late for this one
	list.err = ask(ctx)
	list.lost = ctx.Err() != nil
	close(list.done)
	return list.err
}

// neverServed reports whether the lane is one of a dc-location that has had no member yet. On
// the run goroutine.
func (l *lane) neverServed() bool { return !l.served && l.dc != globalDC }
