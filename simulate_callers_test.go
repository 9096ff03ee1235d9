package tso

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/internal/history"
)

// callers are the goroutines that use the clients, and what they have seen.
type callers struct {
	running sync.WaitGroup
	quit    chan struct{}

	mu    sync.Mutex
	calls []simCall // guarded by mu
}

// simCall is one call and what came of it. Times are since the beginning of the world.
type simCall struct {
	client int
	dc     string
	start  time.Duration
	waited time.Duration // when its Wait was called; start if that is one call
	end    time.Duration
	limit  time.Duration // when its context ended, or would have; simForever for never
	floor  uint64        // the largest timestamp of the scope made before it
	t      uint64
	last   uint64 // of a batch that begins with t
	err    error
	ctxErr error // of its context, after its end
}

func (c simCall) String() string {
	limit := ""
	if c.limit != simForever {
		limit = fmt.Sprintf(", context until %v", c.limit)
	}
	return fmt.Sprintf("call of client %d, %q [%v, %v], waited for at %v%s: %d, %v", c.client, c.dc, c.start, c.end, c.waited, limit, c.t, c.err)
}

// caller is one goroutine that calls.
type caller struct {
	*simWorld
	rand  *rand.Rand
	log   *history.Log
	calls []simCall
	over  bool // its client is closed
}

// startCallers starts the callers of the plan.
func (w *simWorld) startCallers() {
	w.quit = make(chan struct{})
	for i := range w.plan.callers {
		c := &caller{simWorld: w, rand: rand.New(rand.NewPCG(w.plan.seed, 100+uint64(i))), log: w.recorder.NewLog(100)}
		w.running.Go(c.run)
	}
}

func (c *caller) run() {
	client := c.rand.IntN(len(c.clients))
	for !c.over {
		select {
		case <-c.quit:
			c.over = true
			continue
		case <-time.After(c.pause()):
		}
		switch c.rand.IntN(13) {
		case 0:
			c.futures(client, false)
		case 1:
			c.futures(client, true)
		case 2:
			c.misc(client)
		case 3:
			c.batch(client)
		default:
			c.once(client)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.callers.calls = append(c.callers.calls, c.calls...)
}

// pause draws how long to do nothing.
func (c *caller) pause() time.Duration {
	d := simUpTo(c.rand, time.Millisecond, c.plan.busy)
	if grid := c.plan.grid; grid > 0 {
		return (c.now() + d + grid).Truncate(grid) - c.now()
	}
	return d
}

// scope draws a scope to call in.
func (c *caller) scope() (dc string, scope history.Scope) {
	if c.rand.IntN(2) == 0 {
		return globalDC, history.Global
	}
	n := 1 + c.rand.IntN(max(len(c.plan.dcs), 1))
	switch {
	case c.rand.IntN(20) == 0:
		n = 4 + c.rand.IntN(3)
	case len(c.plan.dcs) == 0:
		return globalDC, history.Global
	}
	return fmt.Sprintf("dc-%d", n), history.Scope(n)
}

// context draws a context, and tells when it ends.
func (c *caller) context() (ctx context.Context, cancel context.CancelFunc, limit time.Duration) {
	d := simUpTo(c.rand, 100*time.Microsecond, 5*time.Second)
	switch c.rand.IntN(8) {
	case 0, 1:
		ctx, cancel = context.WithTimeout(context.Background(), d)
		return ctx, cancel, c.now() + d
	case 2:
		ctx, cancel = context.WithCancel(context.Background())
		time.AfterFunc(d, cancel)
		return ctx, cancel, c.now() + d
	case 3:
		if c.rand.IntN(10) == 0 {
			ctx, cancel = context.WithCancel(context.Background())
			cancel()
			return ctx, cancel, c.now()
		}
		ctx, cancel = context.WithCancel(context.Background())
		return ctx, cancel, simForever
	default:
		return context.Background(), func() {}, simForever
	}
}

// simPending is a call under way.
type simPending struct {
	simCall
	scope history.Scope
	tick  int64
	ended int64
	ctx   context.Context
}

func (c *caller) begin(ctx context.Context, client int, dc string, scope history.Scope, limit time.Duration) *simPending {
	p := &simPending{simCall: simCall{client: client, dc: dc, limit: limit}, scope: scope, ctx: ctx}
	p.floor = c.server.Stats().Largest[dc]
	p.start, p.tick = c.now(), c.log.Start()
	p.waited = p.start
	return p
}

func (c *caller) end(p *simPending, physical, logical int64, err error) {
	p.end, p.err, p.ctxErr = c.now(), err, p.ctx.Err()
	if err == nil {
		p.t = ComposeTS(physical, logical)
		p.ended = c.recorder.Now()
		c.log.Add(history.Call{Start: p.tick, End: p.ended, T: p.t, Scope: p.scope})
	}
	if c.isOver(err) {
		c.over = true
	}
	c.calls = append(c.calls, p.simCall)
}

func (c *caller) once(client int) {
	dc, scope := c.scope()
	ctx, cancel, limit := c.context()
	defer cancel()
	p := c.begin(ctx, client, dc, scope, limit)
	physical, logical, err := c.clients[client].GetLocalTS(ctx, dcArgument(c.rand, dc))
	c.end(p, physical, logical, err)
}

// batch makes a call for several timestamps, now and then for more than one RPC brings.
func (c *caller) batch(client int) {
	ctx, cancel, limit := c.context()
	defer cancel()
	n := 1 + c.rand.IntN(40)
	if c.rand.IntN(25) == 0 {
		n = batch.MaxCount - 20 + c.rand.IntN(batch.MaxCount)
	}
	p := c.begin(ctx, client, globalDC, history.Global, limit)
	b, err := c.clients[client].GetTSBatch(ctx, n)
	if err == nil && b.Len() != n || err != nil && b.Len() != 0 {
		c.violation("GetTSBatch of %d brought %d, and %v", n, b.Len(), err)
	}
	if err == nil {
		p.last = ComposeTS(b.At(n - 1))
	}
	physical, logical := b.At(0)
	c.end(p, physical, logical, err)
	before := p.t
	for i := 1; i < b.Len(); i++ {
		ts := ComposeTS(b.At(i))
		if ts <= before {
			c.violation("GetTSBatch of %d: %d behind %d, in place %d", n, ts, before, i)
		}
		before = ts
		c.log.Add(history.Call{Start: p.tick, End: p.ended, T: ts, Scope: history.Global})
	}
}

// dcArgument draws a way to name a scope.
func dcArgument(r *rand.Rand, dc string) string {
	if dc == globalDC && r.IntN(2) == 0 {
		return ""
	}
	return dc
}

// futures takes some futures of one scope and waits for them, in their order or in
// the reverse one, now and then late.
func (c *caller) futures(client int, reverse bool) {
	dc, scope := c.scope()
	ctx, cancel, limit := c.context()
	defer cancel()
	n := 1 + c.rand.IntN(12)
	pending, futures := make([]*simPending, n), make([]TSFuture, n)
	for i := range futures {
		pending[i] = c.begin(ctx, client, dc, scope, limit)
		futures[i] = c.clients[client].GetLocalTSAsync(ctx, dc)
	}
	if c.rand.IntN(4) == 0 {
		time.Sleep(simUpTo(c.rand, time.Millisecond, time.Second))
	}
	for i := range futures {
		if reverse {
			i = n - 1 - i
		}
		if c.rand.IntN(100) == 0 {
			continue // never waited for
		}
		p := pending[i]
		p.waited = c.now()
		physical, logical, err := futures[i].Wait()
		c.end(p, physical, logical, err)
	}
	c.checkCreationOrder(pending)
}

func (c *caller) checkCreationOrder(pending []*simPending) {
	var ts []uint64
	for _, p := range pending {
		if p.t > 0 {
			ts = append(ts, p.t)
		}
	}
	for _, v := range history.CreationOrder(ts) {
		c.violation("%v", v)
	}
}

// misc makes a call that is not for a timestamp, within its context.
func (c *caller) misc(client int) {
	ctx, cancel, limit := c.context()
	defer cancel()
	start := c.now()
	_, err := c.clients[client].GetAllMembers(ctx)
	if end := c.now(); end > limit {
		c.violation("GetAllMembers from %v came back %v after its context: %v", start, end-limit, err)
	}
	if c.isOver(err) {
		c.over = true
	}
	_ = c.clients[client].GetLeaderAddr()
	_ = c.clients[client].Stats()
}
