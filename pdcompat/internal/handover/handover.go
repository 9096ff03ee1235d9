package handover

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat"
)

// Future is a timestamp on its way, from either side.
type Future = tso.TSFuture

// Config is what an adapter knows when a client of PD's is made.
type Config struct {
	Addresses   []string
	Security    tso.SecurityOption
	DialOptions []grpc.DialOption
	// Timeout is upstream's timeout option. It bounds an RPC, and also how long a call may
	// take: client-go tries again by itself, for a time that it counts without that of calls.
	Timeout    time.Duration
	MaxRetry   int
	Forwarding bool
	// ServerProxy is upstream's option to ask PD for timestamps also where TSO is a service
	// of its own; ours then serves always.
	ServerProxy bool
	Log         *zap.Logger
	// Upstream is why timestamps are left to upstream for good, "" if they are not.
	Upstream string
}

// side is who is given new calls.
type side int8

const (
	neither side = iota // nobody yet, or a handover is under way: calls wait
	ours
	upstream
)

// Handover gives each call to the side that serves. Its methods may be called from any
// number of goroutines.
type Handover struct {
	cfg    Config
	budget time.Duration

	// direct is ours while it serves, nil otherwise: all that a call looks at then.
	// Published after calls that waited have been given to ours, so that a later call
	// of the same goroutine comes behind them.
	direct atomic.Pointer[tso.Client]

	upstreamCalls, handovers atomic.Int64

	// options is held while dynamic options are changed or given to a client of ours.
	options sync.Mutex
	dynamic map[tso.DynamicOption]any

	mu sync.Mutex
	// side and why are the side that serves and, if it is upstream, why. needed is closed
	// when upstream begins to serve, and nil as long as it does.
	side   side
	why    string
	needed chan struct{}
	closed bool
	// ask begins a call of upstream's.
	ask func(ctx context.Context) Future
	// client is ours, also while it does not serve; nil before there is one.
	client tso.Client
	// highest is the highest timestamp of calls that have been in the queue, and at the last
	// handover of any.
	highest uint64
	calls   calls

	// Of run: refused is set when it has been said that the side that is to come grants too
	// little, due is the next pause while a handover is due, and aware is set when PD has told
	// its mode.
	refused bool
	due     time.Duration
	aware   bool

	probes  prober
	conns   connections
	nudged  chan struct{} // wakes run
	cancel  context.CancelFunc
	running sync.WaitGroup // the goroutines
	ending  sync.Once      // of CloseBoth
}

// New returns a Handover that has not begun: its interceptor can be given to upstream.
func New(cfg Config) *Handover {
	h := &Handover{
		cfg:     cfg,
		budget:  max(cfg.Timeout, time.Millisecond),
		dynamic: make(map[tso.DynamicOption]any),
		nudged:  make(chan struct{}, 1),
		cancel:  func() {},
		calls:   calls{toGive: make(chan struct{}, 1), toServe: make(chan struct{}, 1)},
	}
	if cfg.Upstream == "" {
		h.needed = make(chan struct{})
	}
	h.probes.running = &h.running
	return h
}

// Start begins, once upstream is there, and returns when it is known who serves first. It
// ends with ctx.
func (h *Handover) Start(ctx context.Context, ask func(ctx context.Context) Future) {
	ctx, cancel := context.WithCancel(ctx)
	h.mu.Lock()
	h.ask, h.cancel = ask, cancel
	h.mu.Unlock()
	h.running.Go(func() { h.serve(ctx) })
	h.running.Go(func() { h.give(ctx) })
	why, again := h.first(ctx)
	if why == "" {
		h.begin(ours, "")
	} else {
		h.begin(upstream, why)
		h.say(upstream, why)
	}
	if again {
		h.running.Go(func() { h.run(ctx) })
	}
}

// first makes a client of ours, and returns why upstream serves first, "" if it does not, and
// whether that can change.
func (h *Handover) first(ctx context.Context) (why string, again bool) {
	if h.cfg.Upstream != "" {
		return h.cfg.Upstream, false
	}
	err := h.open(ctx)
	switch {
	case err != nil:
		return fmt.Sprintf("this library's client cannot be made: %v", err), !final(err)
	case !h.cfg.ServerProxy && h.firstLook(ctx) == serviceOfItsOwn:
		return ownService, true
	default:
		return "", true
	}
}

// begin names the first side.
func (h *Handover) begin(s side, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.turnTo(s, why)
	}
}

// open makes a client of ours.
func (h *Handover) open(ctx context.Context) error {
	client, err := tso.NewClientWithContext(ctx, bare(h.cfg.Addresses), h.cfg.Security,
		tso.WithGRPCDialOptions(h.cfg.DialOptions...),
		tso.WithGRPCDialOptions(grpc.WithChainStreamInterceptor(h.learn)),
		tso.WithCustomTimeoutOption(h.cfg.Timeout),
		tso.WithRequestBudget(h.budget),
		tso.WithMaxErrorRetry(h.cfg.MaxRetry),
		tso.WithInitTimeout(h.budget),
		tso.WithForwardingOption(h.cfg.Forwarding),
		tso.WithLogger(h.cfg.Log),
		tso.WithClosedError(errClosed{}))
	if err != nil {
		return err
	}
	h.mu.Lock()
	closed := h.closed
	h.client = client
	h.mu.Unlock()
	if closed {
		client.Close()
		return errClosed{}
	}
	return h.setAll(client)
}

// final reports whether there is no sense in trying again to make a client of ours. Trouble
// with certificates is not final: they may be on their way.
func final(err error) bool {
	return errors.Is(err, tso.ErrInvalidOption) || errors.Is(err, tso.ErrInvalidAddress) || errors.Is(err, tso.ErrClosed)
}

// GetTS returns a timestamp of the default scope. Where ours has served it while a handover
// began, it is served again, by the side that comes.
func (h *Handover) GetTS(ctx context.Context) (physical, logical int64, err error) {
	if c := h.direct.Load(); c != nil {
		physical, logical, err = (*c).GetTS(ctx)
		if h.direct.Load() == c || errors.Is(err, tso.ErrBudgetSpent) {
			return physical, logical, err
		}
	}
	return h.call(ctx).Wait()
}

// GetTSAsync begins to fetch a timestamp of the default scope.
//
// Ours has the call first, and direct is looked at again then. A handover empties direct
// first, and then has one more call served, behind all that ours has. So either that call
// comes behind this one, and this one is served before any of the other side's; or this one
// finds direct empty, and leaves what ours has for it to nobody.
func (h *Handover) GetTSAsync(ctx context.Context) Future {
	if c := h.direct.Load(); c != nil {
		future := (*c).GetTSAsync(ctx)
		if h.direct.Load() == c {
			return future
		}
	}
	return h.call(ctx)
}

// GetTSBatch returns n timestamps of the default scope, if ours serves.
func (h *Handover) GetTSBatch(ctx context.Context, n int) (tso.Batch, error) {
	for c := h.direct.Load(); c != nil; c = h.direct.Load() {
		b, err := (*c).GetTSBatch(ctx, n)
		if h.direct.Load() == c || err != nil {
			return b, err
		}
	}
	return tso.Batch{}, pdcompat.ErrNoBatches
}

// Ours returns this library's client while it serves, nil otherwise.
func (h *Handover) Ours() tso.Client {
	if c := h.direct.Load(); c != nil {
		return *c
	}
	return nil
}

// SetOption changes a dynamic option of ours, now and for one that is made later.
func (h *Handover) SetOption(option tso.DynamicOption, value any) error {
	h.options.Lock()
	defer h.options.Unlock()
	h.dynamic[option] = value
	h.mu.Lock()
	client := h.client
	h.mu.Unlock()
	if client == nil {
		return nil
	}
	return client.UpdateOption(option, value)
}

// SetConcurrency is upstream's TSOClientRPCConcurrency. Its default of 1 says nothing about
// what a program wants, and costs ours a third of its speed: then ours decides.
func (h *Handover) SetConcurrency(value any) error {
	if n, ok := value.(int); ok && n <= 1 {
		value = math.MaxInt
	}
	return h.SetOption(tso.TSOClientRPCConcurrency, value)
}

func (h *Handover) setAll(client tso.Client) error {
	h.options.Lock()
	defer h.options.Unlock()
	var errs []error
	for option, value := range h.dynamic {
		errs = append(errs, client.UpdateOption(option, value))
	}
	return errors.Join(errs...)
}

// Stats returns what has been done so far.
func (h *Handover) Stats() pdcompat.Stats {
	h.mu.Lock()
	client, s := h.client, pdcompat.Stats{Upstream: h.side == upstream, Why: h.why}
	h.mu.Unlock()
	if client != nil {
		s.Stats = client.Stats()
	}
	s.UpstreamCalls, s.Handovers = h.upstreamCalls.Load(), h.handovers.Load()
	return s
}

// Close ends ours and all calls that wait. Upstream is to be closed then, which ends what may
// still wait for it, and then Wait returns soon.
func (h *Handover) Close() {
	h.endAll()
	h.mu.Lock()
	client, cancel := h.client, h.cancel
	h.mu.Unlock()
	cancel()
	if client != nil {
		client.Close()
	}
}

// Wait returns when nothing of a Handover is left that has been closed.
func (h *Handover) Wait() { h.running.Wait() }

// CloseBoth closes ours and upstream, and returns when nothing of a Handover is left. It may
// be called more than once, and concurrently; upstream is closed once.
func (h *Handover) CloseBoth(upstream func()) {
	h.ending.Do(func() {
		h.Close()
		upstream()
		h.Wait()
	})
}

// bare returns addresses without their schemes, as upstream takes them: whether to speak TLS
// is for the certificates to say.
func bare(addresses []string) []string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = strings.TrimPrefix(strings.TrimPrefix(a, "http://"), "https://")
	}
	return list
}
