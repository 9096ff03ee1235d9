package soak

import (
	"context"
	"sync"
	"time"
)

// gate is what callers pass before each round, and what stops them.
type gate struct {
	mu     sync.Mutex
	inside int           // guarded by mu
	opened chan struct{} // guarded by mu; nil while the gate is open
}

// enter returns false if ctx ends before the gate is open.
func (g *gate) enter(ctx context.Context) bool {
	for ctx.Err() == nil {
		opened := g.tryEnter()
		if opened == nil {
			return true
		}
		select {
		case <-opened:
		case <-ctx.Done():
		}
	}
	return false
}

// tryEnter returns what to wait for if the gate is shut.
func (g *gate) tryEnter() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.inside++
	}
	return g.opened
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
}

// shut lets nobody in any more, and waits until nobody is inside; false if ctx ends
// before.
func (g *gate) shut(ctx context.Context) bool {
	g.mu.Lock()
	g.opened = make(chan struct{})
	g.mu.Unlock()
	for !g.empty() {
		if !wait(ctx, 10*time.Millisecond) {
			return g.empty()
		}
	}
	return true
}

func (g *gate) empty() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside == 0
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.opened)
	g.opened = nil
}
