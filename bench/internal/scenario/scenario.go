// Package scenario says in which situations clients are compared, and measures one
// client in one of them. The comparison, its report and the Go benchmarks all measure
// through it.
package scenario

import (
	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
)

// Site is a server and the way to it.
type Site string

// The sites.
const (
	// Near is a PD process on the same machine.
	Near Site = "PD"
	// Far is one some milliseconds away: behind a path that delays.
	Far Site = "PD, far"
	// Fake is the server of package tsotest in a process of its own.
	Fake Site = "tsotest"
	// FakeDCs is the same with Locations dc-locations, on as many members.
	FakeDCs Site = "tsotest, dc-locations"
)

// Locations is how many dc-locations FakeDCs has: dc-1 and so on.
const Locations = 3

// Rival is a client with its settings.
type Rival struct {
	// Name is what it is called in tables.
	Name string
	// Client is its name in package impl; empty for nobody, who leaves the machine to
	// the workers.
	Client string
	// Concurrency and PlainDial are those of impl.Config.
	Concurrency int
	PlainDial   bool
	// Cancelable has every caller call with a context that can be cancelled.
	Cancelable bool
	// Batch, if not 0, has the callers fetch so many timestamps with each call.
	Batch int
	// Local has the callers call for each dc-location in turn.
	Local bool
}

// The rivals of most scenarios, ours first: the others are what it is compared with.
var (
	TSO       = Rival{Name: "tso", Client: impl.TSO}
	Upstream  = Rival{Name: "upstream", Client: impl.Upstream}
	Upstream4 = Rival{Name: "upstream-4", Client: impl.Upstream, Concurrency: 4}
	Adapter   = Rival{Name: "adapter", Client: impl.Adapter}
	Bare      = Rival{Name: "bare", Client: impl.Bare}

	// Plain is ours without what makes it quick in a busy process.
	Plain = Rival{Name: "tso-plain", Client: impl.TSO, PlainDial: true}
	// TSOCancelable and UpstreamCancelable call as servers do.
	TSOCancelable      = Rival{Name: "tso+cancel", Client: impl.TSO, Cancelable: true}
	UpstreamCancelable = Rival{Name: "upstream+cancel", Client: impl.Upstream, Cancelable: true}
	// TSOLocal takes local timestamps.
	TSOLocal = Rival{Name: "tso-local", Client: impl.TSO, Local: true}
	// TSOBatch fetches as many timestamps with each call as one RPC brings.
	TSOBatch = Rival{Name: "tso-batch", Client: impl.TSO, Batch: 10_000}
	// Nobody calls at all.
	Nobody = Rival{Name: "nobody"}
)

// Config returns what the rival's client is opened with.
func (r Rival) Config(addrs []string) impl.Config {
	return impl.Config{Addrs: addrs, Concurrency: r.Concurrency, PlainDial: r.PlainDial}
}

// Opening returns the rival without what matters only to its callers: two rivals
// with the same Opening can share a client.
func (r Rival) Opening() Rival {
	return Rival{Client: r.Client, Concurrency: r.Concurrency, PlainDial: r.PlainDial}
}

// Scenario is a situation.
type Scenario struct {
	// Group and Params name it: what happens, and how much of it, such as "closed"
	// and "callers=64".
	Group, Params string
	Site          Site
	// Short marks what is measured in the short set.
	Short bool

	Callers int
	Window  int // futures that each caller keeps outstanding
	Pace    load.Pace
	// ThinkRTT has callers pause before each call, for one round trip on average.
	ThinkRTT bool
	// Busy is the number of workers beside the callers. They always have work, or,
	// if Share is not 0, tasks for that share of the processors' time.
	Busy  int
	Share float64
	// Idle has no callers: what is measured is a process with a client and nothing
	// to do.
	Idle bool
	// Queue has no clients either: the callers push to a queue.
	Queue bool

	Rivals []Rival
}

// Name names the scenario.
func (s Scenario) Name() string {
	if s.Params == "" {
		return s.Group
	}
	return s.Group + "/" + s.Params
}
