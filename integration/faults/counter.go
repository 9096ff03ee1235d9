package faults

import (
	"context"
	"sync"

	"google.golang.org/grpc/stats"
)

// counts are what clients have asked servers for.
type counts struct {
	// RPCs are those that have been sent, by method: streams count once.
	RPCs map[string]int64
	// Requests are the messages sent on them, by method.
	Requests map[string]int64
	// Connects is how often a server's process has taken a connection.
	Connects int64
}

// add adds others.
func (c *counts) add(others counts) {
	for method, n := range others.RPCs {
		c.RPCs[method] += n
	}
	for method, n := range others.Requests {
		c.Requests[method] += n
	}
	c.Connects += others.Connects
}

func newCounts() counts {
	return counts{RPCs: make(map[string]int64), Requests: make(map[string]int64)}
}

// counter counts what grpc-go sends for clients of any kind. That is what servers have to
// deal with, but for what a server that is killed has not read any more; servers' own
// counters would end with them, and count what members ask each other.
type counter struct {
	mu     sync.Mutex
	counts counts // guarded by mu; since they were last taken
}

func newCounter() *counter { return &counter{counts: newCounts()} }

var _ stats.Handler = (*counter)(nil)

// take returns what there has been since the last time.
func (c *counter) take() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.counts
	c.counts = newCounts()
	return taken
}

// methodKey is that of an RPC's method in its context.
type methodKey struct{}

// TagRPC implements stats.Handler.
func (c *counter) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName)
}

// HandleRPC implements stats.Handler.
func (c *counter) HandleRPC(ctx context.Context, event stats.RPCStats) {
	method, ok := ctx.Value(methodKey{}).(string)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch event.(type) {
	case *stats.OutHeader:
		c.counts.RPCs[method]++
	case *stats.OutPayload:
		c.counts.Requests[method]++
	}
}

// TagConn implements stats.Handler.
func (c *counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (c *counter) HandleConn(_ context.Context, event stats.ConnStats) {
	if _, ok := event.(*stats.ConnBegin); ok {
		c.mu.Lock()
		c.counts.Connects++
		c.mu.Unlock()
	}
}
