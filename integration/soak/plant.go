package soak

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/tsoring/tso"
)

// What can be planted.
const (
	plantOld       = "old-timestamp"    // now and then, one is handed out a second time, later
	plantInversion = "inverted-futures" // two futures in the wrong order
	plantError     = "error"            // a call fails that has all the time in the world
	plantBudget    = "early-budget"     // a call says that its budget is spent, and it is not
	plantStuck     = "stuck"            // a call does not return
	plantRoutine   = "goroutine"        // some calls leave goroutines behind
	plantHeap      = "heap"             // some calls leave memory behind
)

// Plants returns what can be planted.
func Plants() []string {
	return []string{plantOld, plantInversion, plantError, plantBudget, plantStuck, plantRoutine, plantHeap}
}

// plantEvery is in how many calls something wrong happens.
const plantEvery = 200

// planted is a client that does something wrong now and then.
type planted struct {
	tso.Client
	*garden

	futures atomic.Int64
	later   atomic.Pointer[tso.TSFuture]
}

// garden is what the clients of a run share: calls count, however few a client lives for.
type garden struct {
	what []string
	left chan struct{} // what goroutines that are left behind wait for

	calls atomic.Int64
	kept  atomic.Pointer[[2]int64]
	hoard atomic.Pointer[hoard]
}

// hoard is memory that is left behind.
type hoard struct {
	memory []byte
	next   *hoard
}

// plant returns a function that puts what is planted around a client, and one that lets
// go of what is stuck.
func plant(what []string) (wrap func(tso.Client) tso.Client, end func()) {
	if len(what) == 0 {
		return func(c tso.Client) tso.Client { return c }, func() {}
	}
	g := &garden{what: what, left: make(chan struct{})}
	return func(c tso.Client) tso.Client { return &planted{Client: c, garden: g} }, func() { close(g.left) }
}

func (p *planted) GetTS(ctx context.Context) (physical, logical int64, err error) {
	n := p.calls.Add(1)
	if n%plantEvery != 0 {
		physical, logical, err = p.Client.GetTS(ctx)
		if n%plantEvery == 1 && err == nil {
			p.kept.Store(&[2]int64{physical, logical})
		}
		return physical, logical, err
	}
	return p.wrong(ctx, p.what[int(n/plantEvery)%len(p.what)])
}

// wrong does something wrong to a call.
func (p *planted) wrong(ctx context.Context, what string) (physical, logical int64, err error) {
	switch what {
	case plantOld:
		if kept := p.kept.Load(); kept != nil {
			return kept[0], kept[1], nil
		}
	case plantError:
		return 0, 0, errors.New("planted: transport is closing")
	case plantBudget:
		return 0, 0, tso.ErrBudgetSpent
	case plantStuck:
		<-p.left
	case plantRoutine:
		for range 10 {
			go func() { <-p.left }()
		}
	case plantHeap:
		p.hoard.Store(&hoard{make([]byte, 2<<20), p.hoard.Load()})
	}
	return p.Client.GetTS(ctx)
}

func (p *planted) GetTSAsync(ctx context.Context) tso.TSFuture {
	if !slices.Contains(p.what, plantInversion) {
		return p.Client.GetTSAsync(ctx)
	}
	if kept := p.later.Swap(nil); kept != nil {
		return *kept
	}
	if p.futures.Add(1)%plantEvery == 0 {
		kept := p.Client.GetTSAsync(ctx)
		p.later.Store(&kept)
	}
	return p.Client.GetTSAsync(ctx)
}
