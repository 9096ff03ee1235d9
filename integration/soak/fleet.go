package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso"
)

// The clients that callers share. Two live as long as the run, so that what they hold
// on to is seen to grow; the third comes and goes.
const (
	resident = iota
	forwarder
	passing
	clientCount
)

const (
	// staysMin and staysMax are how long the passing client lives.
	staysMin, staysMax = 3 * time.Second, 12 * time.Second
	// toggleMax is the longest time between two changes of an option.
	toggleMax = 500 * time.Millisecond
	// closeMax is how long Close may take, and the callers to be back: ten times what
	// is promised, on a machine that others use too.
	closeMax = time.Second
)

// handle is a client, and when it was closed.
type handle struct {
	client     tso.Client
	name       string
	forwarding bool
	closing    atomic.Int64 // when Close was called; 0 before
	end        func()       // lets go of the context that the client lived in
}

// fleet are the clients of a run.
type fleet struct {
	urls   []string
	log    *zap.Logger
	ledger *ledger
	clock  func() int64
	wrap   func(tso.Client) tso.Client
	slots  [clientCount]atomic.Pointer[handle]
	born   atomic.Int64
	stats  [2]tso.Stats // of resident and forwarder, when they were closed

	still sync.Mutex // held by who changes a client, and while nothing may change
}

// open opens the clients.
func (f *fleet) open(ctx context.Context) error {
	for slot, forwarding := range []bool{resident: false, forwarder: true, passing: false} {
		h, err := f.connect(ctx, forwarding)
		if err != nil {
			f.close()
			return err
		}
		f.slots[slot].Store(h)
	}
	return nil
}

// connect returns a new client. It gives up when ctx ends; the client outlives ctx.
func (f *fleet) connect(ctx context.Context, forwarding bool) (*handle, error) {
	name := fmt.Sprintf("client %d", f.born.Add(1))
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stays := context.AfterFunc(ctx, end)
	c, err := tso.NewClientWithContext(life, f.urls, tso.SecurityOption{},
		tso.WithLogger(f.log.Named(name)), tso.WithForwardingOption(forwarding))
	if err != nil {
		end()
		return nil, err
	}
	h := &handle{client: f.wrap(c), name: name, forwarding: forwarding, end: end}
	if !stays() {
		f.end(h)
		return nil, ctx.Err()
	}
	return h, nil
}

// any returns a client to call.
func (f *fleet) any(rng *rand.Rand) *handle { return f.slots[rng.IntN(clientCount)].Load() }

// close closes all clients, which callers may still try.
func (f *fleet) close() {
	for slot := range f.slots {
		h := f.slots[slot].Load()
		if h == nil {
			continue
		}
		if slot != passing {
			f.stats[slot] = h.client.Stats()
		}
		f.end(h)
	}
}

// forget lets go of all clients. Nobody may call any more.
func (f *fleet) forget() {
	for slot := range f.slots {
		f.slots[slot].Store(nil)
	}
}

// end closes a client, with whoever calls it.
func (f *fleet) end(h *handle) {
	began := f.clock()
	h.closing.Store(began)
	h.client.Close()
	if took := time.Duration(f.clock() - began); took > closeMax {
		f.ledger.find("slow Close", "%s took %v", h.name, took)
	}
	h.end()
}

// churn replaces the passing client now and then until ctx ends.
func (f *fleet) churn(ctx context.Context, rng *rand.Rand) {
	for wait(ctx, between(rng, staysMin, staysMax)) {
		f.replace(ctx, rng.IntN(2) == 0)
	}
}

func (f *fleet) replace(ctx context.Context, forwarding bool) {
	// The new client is made outside the lock: it may take as long as an outage.
	h, err := f.connect(ctx, forwarding)
	if ctx.Err() != nil && h == nil {
		return
	}
	if err != nil {
		f.ledger.find("NewClient failed", "%v", err)
		return
	}
	f.still.Lock()
	defer f.still.Unlock()
	f.end(f.slots[passing].Swap(h))
}

// toggle changes options until ctx ends.
func (f *fleet) toggle(ctx context.Context, rng *rand.Rand) {
	for wait(ctx, between(rng, time.Millisecond, toggleMax)) {
		f.still.Lock()
		f.change(f.any(rng), rng)
		f.still.Unlock()
	}
}

func (f *fleet) change(h *handle, rng *rand.Rand) {
	switch rng.IntN(3) {
	case 0:
		f.set(h, tso.EnableTSOFollowerProxy, rng.IntN(2) == 0)
	case 1:
		f.set(h, tso.TSOClientRPCConcurrency, 1<<rng.IntN(7))
	default:
		f.set(h, tso.MaxTSOBatchWaitInterval, between(rng, 0, 10*time.Millisecond))
	}
}

func (f *fleet) set(h *handle, option tso.DynamicOption, value any) {
	if err := h.client.UpdateOption(option, value); err != nil && !errors.Is(err, tso.ErrClosed) {
		f.ledger.find("option refused", "%s, option %d, %v: %v", h.name, option, value, err)
	}
}

// calm sets all options to what they are by default.
func (f *fleet) calm() {
	for slot := range f.slots {
		h := f.slots[slot].Load()
		f.set(h, tso.EnableTSOFollowerProxy, false)
		f.set(h, tso.TSOClientRPCConcurrency, 64)
		f.set(h, tso.MaxTSOBatchWaitInterval, time.Duration(0))
	}
}

// between returns a random duration.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// wait lets time pass; false if ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
