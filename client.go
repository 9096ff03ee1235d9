package tso

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/valyala/bytebufferpool"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/internal/wheel"
	"github.com/tsoring/tso/internal/yieldconn"
	"github.com/tsoring/tso/member"
)

// Client fetches timestamps from a PD cluster. All methods may be called from any
// number of goroutines. A Client must be closed.
type Client interface {
	// GetTS returns a timestamp of the global scope. It returns when there is
	// one, or with an error when ctx or the request budget ends or the client
	// is closed. It allocates nothing once warm.
	GetTS(ctx context.Context) (physical, logical int64, err error)
	// GetTSAsync begins to fetch a timestamp and returns at once; it waits
	// only for room if 65,536 requests are queued already. It never returns
	// nil: what goes wrong, Wait tells.
	GetTSAsync(ctx context.Context) TSFuture
	// GetTSBatch is GetTS for n timestamps, 1 to MaxTSBatch: all of them, or an error, which
	// Is ErrInvalidArgument for any other n. One RPC brings them, or one for each 10,000,
	// sent after the call began. They increase; those of other global calls at the same time
	// lie below or above all that one RPC has brought, never between. It allocates nothing
	// once warm, and does not wait for MaxTSOBatchWaitInterval.
	GetTSBatch(ctx context.Context, n int) (Batch, error)
	// GetLocalTS is GetTS for the scope of one dc-location (Local TSO).
	// Where PD has known no allocator for it for 4 s, or for 15 s if there has
	// been one, the error is ErrUnknownDCLocation.
	GetLocalTS(ctx context.Context, dcLocation string) (physical, logical int64, err error)
	// GetLocalTSAsync is GetTSAsync for the scope of one dc-location.
	GetLocalTSAsync(ctx context.Context, dcLocation string) TSFuture
	// GetMinTS is the same as GetTS. It exists for programs written for PD's
	// client, where it matters when TSO is a service of its own.
	GetMinTS(ctx context.Context) (physical, logical int64, err error)

	// GetClusterID returns the id of the cluster. It never blocks.
	GetClusterID(ctx context.Context) uint64
	// GetAllMembers asks PD for its members.
	GetAllMembers(ctx context.Context) ([]*pdpb.Member, error)
	// GetLeaderAddr returns the URL of the PD leader, as known. It never
	// blocks.
	GetLeaderAddr() string

	// UpdateOption changes an option while the client is in use. A value out
	// of range or of the wrong type is an error that Is ErrInvalidOption, and
	// changes nothing. After Close it has no effect.
	UpdateOption(option DynamicOption, value any) error
	// Stats returns what the client has done so far. It never blocks.
	Stats() Stats
	// Close ends all calls with ErrClosed and returns when nothing of the
	// client is left: within some milliseconds, or 5 s where a server has stopped
	// reading and the connection comes from a dialer of the program's own. It may
	// be called more than once, and concurrently.
	Close()
}

// TSFuture is a timestamp on its way.
type TSFuture interface {
	// Wait returns the timestamp when it is there, or an error when the
	// context given to GetTSAsync or the request budget ends or the client is
	// closed. It must be called at most once, by one goroutine: the future
	// serves another call after it has returned. A second call returns
	// ErrFutureWaited as long as that has not happened. A future that is never
	// waited for is collected as garbage.
	Wait() (physical, logical int64, err error)
}

// client implements Client.
type client struct {
	env     laneEnv
	members *member.Members
	// buffers are the requests' bytes. The pool counts in plain 64-bit words, which
	// 32-bit processors reach atomically only where they lie at a multiple of 8: so it
	// is an allocation of its own, whose first word does, and no part of this struct.
	buffers *bytebufferpool.Pool
	stats   counters
	pace    pacer
	unknown unknownLists
	began   time.Time // of the clock that pace goes by
	load    yieldconn.Load
	reads   yieldconn.Counts

	unanswered unanswered

	// global is the lane of the global scope, which always exists; lanes has
	// those of all dc-locations in use, the global one included. The map is
	// never modified but replaced, under lanesLock; closedLanes is the last.
	// Calls only read it: the lock is for a dc-location's first call and last.
	global    *lane
	lanes     atomic.Pointer[map[string]*lane]
	lanesLock sync.Mutex
	// highs has the high-water marks of the dc-locations whose lanes have ended,
	// for when they come back. Guarded by lanesLock.
	highs map[string]mark
	// running are the run goroutines of all lanes, also of those that have
	// ended by themselves. Added to under lanesLock, before closedLanes.
	running sync.WaitGroup

	built     chan struct{} // closed when all fields are set
	detach    func() bool   // lets go of the context that the client lives in
	closeOnce sync.Once
}

// closedLanes are the lanes of a client that is closed.
var closedLanes = &map[string]*lane{}

// NewClient returns a client for the cluster that the addresses belong to. See
// NewClientWithContext.
func NewClient(pdAddrs []string, security SecurityOption, opts ...ClientOption) (Client, error) {
	return NewClientWithContext(context.Background(), pdAddrs, security, opts...)
}

// NewClientWithContext returns a client for the cluster that the addresses belong
// to. An address is host:port, or a URL of that; one is enough, the members tell
// of each other. It returns when a member has named the leader, or with an error
// that says what to change: at once where no address can ever do, and otherwise when
// the tries of WithMaxErrorRetry are spent, or WithInitTimeout or ctx ends. It warns
// once when it has not found the cluster at its first try (WithLogger).
//
// The client lives in ctx and ends with it, as if closed; so to bound only how long
// it takes to come up, use WithInitTimeout. Where ctx ends before, the error Is
// ctx.Err(), ctx's cause if it has one, and what the last try came to.
func NewClientWithContext(ctx context.Context, pdAddrs []string, security SecurityOption, opts ...ClientOption) (Client, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	c := &client{built: make(chan struct{}), highs: make(map[string]mark), buffers: new(bytebufferpool.Pool), began: time.Now()}
	c.members, err = member.New(ctx, member.Config{
		Seeds:       pdAddrs,
		Security:    security,
		Dial:        c.dial,
		Turn:        c.turn,
		DialOptions: cfg.dialOptions,
		Timeout:     cfg.timeout,
		MaxRetry:    cfg.maxRetry,
		InitTimeout: cfg.initTimeout,
		Logger:      cfg.log,
		Warnings:    cfg.warnings,
		OnChange:    c.membersChanged,
		OnOffice:    c.officeChanged,
	})
	if err != nil {
		return nil, fmt.Errorf("tso: %w", err)
	}
	c.build(cfg)
	close(c.built)
	c.running.Go(c.global.run)
	c.detach = context.AfterFunc(ctx, c.shut)
	return c, nil
}

// build sets all that needs no network.
func (c *client) build(cfg *config) {
	c.env = laneEnv{
		target:      c.target,
		open:        c.open,
		fresh:       c.fresh,
		members:     c.memberURLs,
		reachable:   c.reachable,
		candidate:   c.members.Candidate,
		health:      c.health,
		refresh:     c.members.Refresh,
		refreshWait: c.refreshWait,
		sameCluster: c.members.CheckCluster,
		forget:      c.forget,
		depth:       batch.Depth,
		now:         c.now,
		watch:       c.members,
		clusterID:   func() uint64 { return c.members.Snapshot().ClusterID },
		wheel:       wheel.New(),
		requests:    newRequestPool(),
		parts:       newRequestPool(),
		batches:     &sync.Pool{New: newBatch},
		pace:        &c.pace,
		unknown:     &c.unknown,
		stats:       &c.stats,
		log:         cfg.log,
		fallback:    cfg.fallback,
		timeout:     cfg.timeout,
		budget:      cfg.budget,
		closed:      cfg.closed,
		capacity:    cfg.capacity,
		grace:       removalGrace,
		forwarding:  cfg.forwarding,
	}
	c.env.inFlight.Store(maxInFlight)
	c.global = newLane(globalDC, &c.env)
	c.lanes.Store(&map[string]*lane{globalDC: c.global})
}

func (c *client) GetTS(ctx context.Context) (physical, logical int64, err error) {
	return c.get(ctx, c.global)
}

func (c *client) GetTSAsync(ctx context.Context) TSFuture {
	return c.getAsync(ctx, c.global)
}

func (c *client) GetLocalTS(ctx context.Context, dcLocation string) (physical, logical int64, err error) {
	return c.get(ctx, c.lane(dcLocation))
}

func (c *client) GetLocalTSAsync(ctx context.Context, dcLocation string) TSFuture {
	return c.getAsync(ctx, c.lane(dcLocation))
}

func (c *client) GetMinTS(ctx context.Context) (physical, logical int64, err error) {
	return c.GetTS(ctx)
}

func (c *client) get(ctx context.Context, l *lane) (physical, logical int64, err error) {
	if err := usable(ctx); err != nil {
		return 0, 0, err
	}
	r := c.env.requests.call(ctx)
	if err := l.pushToWait(ctx, r); err != nil {
		r.recycle()
		return 0, 0, err
	}
	return r.await()
}

func (c *client) getAsync(ctx context.Context, l *lane) TSFuture {
	if err := usable(ctx); err != nil {
		return c.env.requests.settled(err)
	}
	r := c.env.requests.get(ctx)
	if err := l.push(ctx, r); err != nil {
		r.fail(err)
	}
	return r
}

// usable returns why no call can be made with ctx.
func usable(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	return ctx.Err()
}

// lane returns the lane of a dc-location, and begins one if there is none. After
// Close it returns the global one, which answers ErrClosed.
func (c *client) lane(dc string) *lane {
	if dc == "" {
		return c.global
	}
	if l := (*c.lanes.Load())[dc]; l != nil {
		return l
	}
	return c.laneSlow(dc)
}

// laneSlow begins a lane, which finds out by itself whether PD knows the
// dc-location.
func (c *client) laneSlow(dc string) *lane {
	c.lanesLock.Lock()
	defer c.lanesLock.Unlock()
	lanes := c.lanes.Load()
	if lanes == closedLanes {
		return c.global
	}
	if l := (*lanes)[dc]; l != nil {
		return l
	}
	l := newLane(dc, &c.env)
	l.high = c.highs[dc]
	more := maps.Clone(*lanes)
	more[dc] = l
	c.lanes.Store(&more)
	c.running.Go(l.run)
	return l
}

// forget removes a lane that has ended by itself. On the lane's run goroutine.
func (c *client) forget(l *lane) {
	c.lanesLock.Lock()
	defer c.lanesLock.Unlock()
	if l.high.ts > 0 {
		c.highs[l.dc] = l.high
	}
	lanes := c.lanes.Load()
	if (*lanes)[l.dc] != l {
		return
	}
	fewer := maps.Clone(*lanes)
	delete(fewer, l.dc)
	c.lanes.Store(&fewer)
}

// takeLanes ends the making of lanes, and returns those there are.
func (c *client) takeLanes() map[string]*lane {
	c.lanesLock.Lock()
	defer c.lanesLock.Unlock()
	return *c.lanes.Swap(closedLanes)
}

func (c *client) refreshWait(ctx context.Context) error {
	_, err := c.members.RefreshWait(ctx)
	return err
}

// membersChanged is called when there is a new snapshot.
func (c *client) membersChanged(*member.Snapshot) {
	<-c.built
	c.reroute()
}

// reroute has all lanes see whether they go where they should.
func (c *client) reroute() {
	for _, l := range *c.lanes.Load() {
		l.membersChanged()
	}
}

func (c *client) GetClusterID(context.Context) uint64 { return c.members.Snapshot().ClusterID }

func (c *client) GetAllMembers(ctx context.Context) ([]*pdpb.Member, error) {
	if err := usable(ctx); err != nil {
		return nil, err
	}
	s, err := c.members.RefreshWait(ctx)
	select {
	case <-ctx.Done():
		return nil, contextEnded(ctx, "", nil)
	default:
	}
	switch {
	case c.lanes.Load() == closedLanes:
		return nil, c.env.closed
	case err != nil:
		return nil, fmt.Errorf("tso: %w", err)
	}
	members := make([]*pdpb.Member, len(s.Members))
	for i, m := range s.Members {
		own := *m
		members[i] = &own
	}
	return members, nil
}

func (c *client) GetLeaderAddr() string { return c.members.Snapshot().Leader }

func (c *client) UpdateOption(option DynamicOption, value any) error {
	spread := c.env.proxy.Load()
	if err := updateOption(&c.env, option, value); err != nil {
		return err
	}
	if spread != c.env.proxy.Load() {
		c.reroute()
	}
	return nil
}

func (c *client) Stats() Stats {
	s := c.stats.snapshot()
	m := c.members.Stats()
	s.MemberRequests, s.Watches, s.LeaderEvents = int64(m.GetMembers), int64(m.Watches), int64(m.Told)
	s.Yields, s.Parks = c.reads.Yields.Load(), c.reads.Parks.Load()
	return s
}

func (c *client) Close() {
	c.detach()
	c.shut()
}

// shut ends everything, in the order of use: calls, streams, timers,
// connections.
func (c *client) shut() {
	c.closeOnce.Do(func() {
		for _, l := range c.takeLanes() {
			l.close(c.env.closed)
		}
		c.running.Wait()
		c.env.wheel.Close()
		c.members.Close()
	})
}
