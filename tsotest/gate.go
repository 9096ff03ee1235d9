package tsotest

import (
	"context"
	"sync/atomic"
	"time"
)

// gate is what the answers of a member pass on their way out: it may be shut,
// and it may take time. Safe for concurrent use; waiting is on channels only.
type gate struct {
	latency atomic.Int64
	held    atomic.Bool
	// released is closed, and replaced by another, at every release.
	released atomic.Pointer[chan struct{}]
}

func (g *gate) init() {
	ch := make(chan struct{})
	g.released.Store(&ch)
}

// release opens the gate and wakes everybody. The order matters: who still
// loads the old channel finds it closed, who loads the new one finds held false.
func (g *gate) release() {
	g.held.Store(false)
	ch := make(chan struct{})
	close(*g.released.Swap(&ch))
}

// nextRelease returns a channel that the next release closes.
func (g *gate) nextRelease() <-chan struct{} { return *g.released.Load() }

// shut returns nil if the gate is open, and else a channel to wait on before
// asking again.
func (g *gate) shut() <-chan struct{} {
	if !g.held.Load() {
		return nil
	}
	ch := g.nextRelease()
	if !g.held.Load() {
		return nil
	}
	return ch
}

// pass waits out latency and hold, or the context.
func (g *gate) pass(ctx context.Context) error {
	if d := time.Duration(g.latency.Load()); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for ch := g.shut(); ch != nil; ch = g.shut() {
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Hold freezes the given members, or all of them if none is given: requests of
// every kind are taken and answered only after Release. Timestamps are made
// when a request arrives, so those that come out of a Release are old.
func (s *Server) Hold(members ...int) error {
	return s.eachMember(members, func(m *member) { m.gate.held.Store(true) })
}

// Release ends Hold, and lets go of the answers that scripts hold, on the given
// members or on all of them if none is given.
func (s *Server) Release(members ...int) error {
	return s.eachMember(members, func(m *member) { m.gate.release() })
}

// SetLatency makes every answer of the given members, or of all if none is
// given, leave d later. Requests do not queue behind each other for it: like a
// longer cable, it costs time and no throughput. A relay adds the latency of
// both members. The timers of an idle process may be up to 1 ms late.
func (s *Server) SetLatency(d time.Duration, members ...int) error {
	return s.eachMember(members, func(m *member) { m.gate.latency.Store(int64(d)) })
}
