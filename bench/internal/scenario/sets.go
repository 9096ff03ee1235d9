package scenario

import (
	"fmt"
	"time"

	"github.com/tsoring/tso/bench/internal/load"
)

// FarDelay is what the way to Far takes, in each direction.
const FarDelay = time.Millisecond

// taskShare is how busy the processors are with short tasks.
const taskShare = 0.9

var (
	// many are the rivals for more than one caller: the bare stream has one request
	// in flight, and more callers would only wait in line.
	many = []Rival{TSO, Upstream, Upstream4}
	// one are those for a single caller.
	one = []Rival{TSO, Upstream, Upstream4, Bare}
)

func rivals(callers int) []Rival {
	if callers == 1 {
		return one
	}
	return many
}

// Long returns all scenarios, by site.
func Long() []Scenario {
	var all []Scenario
	for _, list := range [][]Scenario{near(), far(), fake()} {
		all = append(all, list...)
	}
	return all
}

// Short returns the scenarios of the short set, with fewer rivals.
func Short() []Scenario {
	var short []Scenario
	for _, s := range Long() {
		if s.Short {
			s.Rivals = without(s.Rivals, Upstream4, Plain, Nobody)
			short = append(short, s)
		}
	}
	return short
}

func without(all []Rival, unwanted ...Rival) []Rival {
	var rest []Rival
next:
	for _, r := range all {
		for _, u := range unwanted {
			if r == u {
				continue next
			}
		}
		rest = append(rest, r)
	}
	return rest
}

func near() []Scenario {
	all := closed("closed", Near, 1, 8, 64, 512, 4096)
	// Is there a price for being ready for a busy process, in one that is not?
	for i := range all {
		all[i].Short = all[i].Callers != 8
		if all[i].Callers <= 64 {
			all[i].Rivals = append(all[i].Rivals[:len(all[i].Rivals):len(all[i].Rivals)], Plain)
		}
	}
	for _, rate := range []int{10_000, 100_000} {
		all = append(all, Scenario{
			Group: "open", Params: fmt.Sprintf("rate=%d", rate), Site: Near,
			Callers: openCallers, Pace: load.Pace{Rate: float64(rate)}, Rivals: many,
		})
	}
	all = append(all,
		Scenario{Group: "futures", Params: "callers=1/window=1000", Site: Near, Short: true, Callers: 1, Window: 1000, Rivals: many},
		Scenario{Group: "futures", Params: "callers=16/window=100", Site: Near, Callers: 16, Window: 100, Rivals: many},
	)
	// One goroutine, and as much as it can get: the others keep 1,000 futures outstanding.
	all = append(all, Scenario{
		Group: "batch", Params: params(1), Site: Near, Short: true, Callers: 1, Window: 1000,
		Rivals: []Rival{TSOBatch, TSO, Upstream, Upstream4},
	})
	for _, callers := range []int{1, 64, 512} {
		all = append(all, Scenario{
			Group: "context", Params: params(callers), Site: Near, Callers: callers,
			Rivals: []Rival{TSO, TSOCancelable, Upstream, UpstreamCancelable},
		})
	}
	for _, callers := range []int{1, 64, 512} {
		all = append(all, Scenario{
			Group: "adapter", Params: params(callers), Site: Near, Callers: callers,
			Rivals: []Rival{TSO, Adapter, Upstream},
		})
	}
	for _, producers := range []int{1, 8, 64} {
		all = append(all, Scenario{
			Group: "ring", Params: fmt.Sprintf("producers=%d", producers), Site: Near,
			Callers: producers, Queue: true, Rivals: []Rival{Ring, Channel},
		})
	}
	all = append(all, busy()...)
	return append(all, Scenario{Group: "idle", Site: Near, Idle: true, Rivals: []Rival{TSO, Upstream, Bare, Nobody}})
}

// openCallers is far more than are needed while the client keeps up.
const openCallers = 1024

// callEvery is the pace of a caller that a busy application can serve with some
// percent of its time.
const callEvery = 2 * time.Millisecond

// busy returns the scenarios in a process that has more work than processors, or
// nearly as much.
func busy() []Scenario {
	var all []Scenario
	for _, callers := range []int{1, 64} {
		for _, workers := range []int{2, 8, 32} {
			all = append(all, Scenario{
				Group: "busy", Params: fmt.Sprintf("%s/workers=%d", params(callers), workers), Site: Near,
				Short: callers == 1 || workers == 8, Callers: callers, Busy: workers, Rivals: rivals(callers),
			})
		}
	}
	for _, callers := range []int{1, 64} {
		all = append(all, Scenario{
			Group: "tasks", Params: params(callers) + "/workers=16", Site: Near, Short: callers == 64,
			Callers: callers, Pace: load.Pace{Every: callEvery * time.Duration(callers) / 4},
			Busy: 16, Share: taskShare, Rivals: []Rival{TSO, Upstream, Upstream4, Plain, Nobody},
		})
	}
	return append(all, Scenario{
		Group: "paced", Params: "callers=1/workers=8", Site: Near, Callers: 1, Pace: load.Pace{Every: callEvery},
		Busy: 8, Rivals: []Rival{TSO, Upstream, Upstream4, Bare, Plain, Nobody},
	})
}

func far() []Scenario {
	all := []Scenario{
		{Group: "far", Params: params(64), Site: Far, Short: true, Callers: 64, ThinkRTT: true, Rivals: many},
		{Group: "far", Params: params(1), Site: Far, Callers: 1, ThinkRTT: true, Rivals: one},
	}
	for _, workers := range []int{8, 32} {
		all = append(all, Scenario{
			Group: "far-busy", Params: fmt.Sprintf("callers=1/workers=%d", workers), Site: Far,
			Short: workers == 8, Callers: 1, Pace: load.Pace{Every: callEvery}, Busy: workers, Rivals: one,
		})
	}
	return all
}

func fake() []Scenario {
	all := closed("tsotest", Fake, 1, 64, 512, 4096)
	return append(all, Scenario{
		Group: "locations", Params: params(192), Site: FakeDCs, Callers: 64 * Locations,
		// PD's client takes no local timestamps any more.
		Rivals: []Rival{TSOLocal, TSO},
	})
}

func closed(group string, site Site, callers ...int) []Scenario {
	var all []Scenario
	for _, n := range callers {
		all = append(all, Scenario{Group: group, Params: params(n), Site: site, Callers: n, Rivals: rivals(n)})
	}
	return all
}

func params(callers int) string { return fmt.Sprintf("callers=%d", callers) }

// Custom returns closed loops with the given numbers of callers beside those of
// workers.
func Custom(callers, workers []int) []Scenario {
	var all []Scenario
	for _, w := range workers {
		for _, s := range closed("closed", Near, callers...) {
			if w > 0 {
				s.Group, s.Busy, s.Params = "busy", w, fmt.Sprintf("%s/workers=%d", s.Params, w)
			}
			all = append(all, s)
		}
	}
	return all
}
