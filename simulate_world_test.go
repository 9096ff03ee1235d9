package tso

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"go.uber.org/zap"

	"github.com/tsoring/tso/internal/history"
	"github.com/tsoring/tso/tsotest"
)

// simWorld is one run: the cluster, its clients, what has been done to them and what
// has been seen.
type simWorld struct {
	t        *testing.T
	plan     *simPlan
	began    time.Time
	server   *tsotest.Server
	clock    atomic.Int64 // how far the cluster's clock is ahead
	clients  []Client
	life     context.Context // of the clients
	recorder *history.Recorder

	odds   map[string][]*simSpan // when what was odd; of the nemesis until it has ended
	events []string              // what the nemesis did; the same
	// poisoned: PD has sent an answer that nobody had asked for, or has swallowed a
	// request. As answers have no number, a client can take one for the answer to
	// another request with the same count, and nobody can promise when calls end on
	// such a stream, and after the first kind that they are fresh.
	poisoned bool
	callers
	closes time.Duration // when the clients begin to be closed
	calmed time.Duration // when each scope was served after healing

	violations simLines
}

// simSpan is a time in which a fault may show.
type simSpan struct{ from, to time.Duration }

const simForever = time.Duration(1 << 62)

func newSimWorld(t *testing.T, p *simPlan) (w *simWorld, end context.CancelFunc) {
	w = &simWorld{t: t, plan: p, began: time.Now(), odds: make(map[string][]*simSpan), recorder: history.NewTickRecorder()}
	server, err := tsotest.Start(tsotest.WithBufconn(), tsotest.WithMembers(p.members), tsotest.WithDCs(p.dcs...), tsotest.WithWatch(),
		tsotest.WithClock(func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }))
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	_ = server.SetLatency(p.latency)
	if p.unwatched {
		_ = server.RefuseWatches(errUnwatched)
	}
	w.life, end = context.WithCancel(context.Background())
	for range p.clients {
		c, err := w.newClient(w.life)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.UpdateOption(EnableTSOFollowerProxy, p.proxy)
		w.clients = append(w.clients, c)
	}
	return w, end
}

// newClient makes a client as the plan has it.
func (w *simWorld) newClient(ctx context.Context, opts ...ClientOption) (Client, error) {
	return NewClientWithContext(ctx, w.server.URLs(), SecurityOption{}, append([]ClientOption{
		WithGRPCDialOptions(grpc.WithContextDialer(w.server.Dialer())),
		WithLogger(zap.NewNop()),
		WithCustomTimeoutOption(w.plan.timeout),
		WithRequestBudget(w.plan.budget),
		WithForwardingOption(w.plan.forwarding),
		func(c *config) { c.capacity = w.plan.capacity },
	}, opts...)...)
}

// now is the fake time since the beginning.
func (w *simWorld) now() time.Duration { return time.Since(w.began) }

func (w *simWorld) violation(format string, args ...any) {
	w.violations.add(fmt.Sprintf("at %v: ", w.now()) + fmt.Sprintf(format, args...))
}

// nemesis does what the plan says, and heals everything.
func (w *simWorld) nemesis(ctx context.Context) {
	ends := make([]func(), len(w.plan.faults))
	for _, s := range w.plan.steps() {
		sleep(ctx, s.at-w.now())
		if ctx.Err() != nil {
			break
		}
		f := w.plan.faults[s.fault]
		switch {
		case s.begins:
			var what string
			what, ends[s.fault] = f.kind.begin(w, f.rand())
			w.log("%s: %s (until %v)", f.kind.name, what, f.to)
		case ends[s.fault] != nil:
			ends[s.fault]()
			w.log("end of %s", f.kind.name)
		}
	}
	sleep(ctx, w.plan.healed-w.now())
	w.heal()
	w.log("healed")
}

func (w *simWorld) log(format string, args ...any) {
	w.events = append(w.events, fmt.Sprintf("%12v  ", w.now())+fmt.Sprintf(format, args...))
}

// heal ends whatever may be left of faults.
func (w *simWorld) heal() {
	w.server.Script(nil)
	w.server.ScriptOpen(nil)
	w.server.ScriptMembers(nil)
	for _, i := range w.all() {
		_ = w.server.StartMember(i)
		_ = w.server.HealPath(i)
		_ = w.server.SetServing(i, true)
	}
	_ = w.server.Release()
	_ = w.server.SetLatency(w.plan.latency)
	for _, dc := range w.plan.dcs {
		_ = w.server.AddDC(dc)
	}
	w.elect(rand.New(rand.NewPCG(w.plan.seed, 2)))
}

// all returns the numbers of the members.
func (w *simWorld) all() []int {
	var all []int
	for i := range w.server.Stats().Members {
		if w.server.URL(i) != "" {
			all = append(all, i)
		}
	}
	return all
}

func (w *simWorld) member(r *rand.Rand) int { return pick(r, w.all()...) }

// dcNames returns the dc-locations that there are now and then.
func (w *simWorld) dcNames() []string {
	return append([]string{"dc-4", "dc-5", "dc-6"}, w.plan.dcs...)
}

func (w *simWorld) dc(r *rand.Rand) string {
	if len(w.plan.dcs) == 0 {
		return "dc-4"
	}
	return pick(r, w.plan.dcs...)
}

// elect gives what nobody leads to some member.
func (w *simWorld) elect(r *rand.Rand) {
	if w.server.URL(w.server.Leader()) == "" {
		_ = w.server.MoveLeader(w.member(r))
	}
	for _, dc := range w.plan.dcs {
		_ = w.server.MoveAllocator(dc, w.member(r))
	}
}

func (w *simWorld) removeDC(dc string) (string, func()) {
	odd := w.odd("members", dc)
	return dc, w.then(w.server.RemoveDC(dc), func() {
		_ = w.server.AddDC(dc)
		odd()
	})
}

// do is the end of a fault that ends by itself.
func (w *simWorld) do(error) func() { return nil }

// then returns end, unless the fault could not be done.
func (w *simWorld) then(err error, end func()) func() {
	if err != nil {
		return nil
	}
	return end
}

// odd notes that from now until the returned function is called something is odd
// that callers may hear of: with names, those of these dc-locations.
func (w *simWorld) odd(what string, names ...string) (end func()) {
	span := &simSpan{w.now(), simForever}
	for _, dc := range names {
		w.odds[dc] = append(w.odds[dc], span)
	}
	w.odds[what] = append(w.odds[what], span)
	return func() { span.to = w.now() }
}

// wasOdd reports whether something was, or dc was, odd between from and to, or so
// short before that it may still have been believed.
func (w *simWorld) wasOdd(what string, from, to time.Duration) bool {
	for _, s := range w.odds[what] {
		if s.from <= to && from-simNewsTake <= s.to {
			return true
		}
	}
	return false
}

// simNewsTake is how long what members said may be believed when they say something
// else, and be told to callers.
const simNewsTake = 3 * time.Second

// story tells the plan and what the nemesis did.
func (w *simWorld) story() string {
	p := w.plan
	return fmt.Sprintf("seed %d, profile %q: %d members, dc-locations %v, %d clients, %d callers; forwarding %v, proxy %v, grid %v; RPC timeout %v, budget %v, ring %d, latency %v; ended %v, by context %v\n%s",
		p.seed, p.profile.name, p.members, p.dcs, p.clients, p.callers, p.forwarding, p.proxy, p.grid, p.timeout, p.budget, p.capacity, p.latency, p.ended, p.cancel,
		strings.Join(w.events, "\n"))
}
