package faults

import (
	"slices"
	"time"

	"github.com/tsoring/tso/internal/history"
)

// CrowdOutcome is how a crowd of one kind of client fared. Where the fault has happened
// several times, what it cost is the average, and by when all were served the worst time's.
type CrowdOutcome struct {
	Crowd  Crowd
	Client string

	// Opening is the processor time of all PD processes while the clients opened, and
	// OpeningRPCs are those that a client sent for it, by method.
	Opening     time.Duration
	OpeningRPCs map[string]float64
	// Memory is what PD's processes had at the end, in bytes.
	Memory int64
	// PD and Clients are the processor time of all processes of each, from the fault until all
	// clients were served again.
	PD, Clients time.Duration
	// PDBefore and ClientsBefore are what was spent of it before members that could serve
	// began to: nothing, where they never were away.
	PDBefore, ClientsBefore time.Duration

	// RPCs are those that a client has sent, by method, and Requests the messages on them.
	RPCs, Requests map[string]float64
	// Connects is how many connections a client has made.
	Connects float64

	// First, Half and All are when the first client was served again, half of them, and the
	// last, from when members that could serve began to. What a client paused before its
	// first call is not in it.
	First, Half, All time.Duration
	// Unserved is the number of clients that were not served again while they were watched.
	Unserved int
	// Calls is the number of calls that succeeded, Errors of those that did not, and
	// Messages are the different errors.
	Calls, Errors int
	Messages      map[string]int
	// Violations are those of order and uniqueness among all clients.
	Violations []history.Violation
	// Machine is the longest that a goroutine waited that wanted to run every 2 ms.
	Machine time.Duration
}

// crowdHit is what has been seen of one time that a fault for many happened.
type crowdHit struct {
	from   reading   // when it happened
	begin  reading   // when members that could serve began to
	after  []reading // from then on
	to     int64
	calls  []groupCall // that returned between from and to
	counts counts
}

func newCrowdOutcome(client string, c Crowd, hits []*crowdHit, m *machine) *CrowdOutcome {
	o := &CrowdOutcome{
		Crowd: c, Client: client, RPCs: make(map[string]float64), Requests: make(map[string]float64),
		Messages: make(map[string]int),
	}
	var all []history.Call
	for _, h := range hits {
		o.add(h, len(hits))
		all = append(all, o.tally(h.calls)...)
		o.Machine = max(o.Machine, m.longest(span{h.from.at, h.to}))
	}
	o.Violations = history.Check(all)
	return o
}

// add adds what one of several times has cost.
func (o *CrowdOutcome) add(h *crowdHit, times int) {
	until := h.begin
	if !o.Crowd.rest {
		until = o.recovery(h)
	}
	o.Memory = h.after[len(h.after)-1].memory
	share := time.Duration(times)
	o.PD += (until.pd - h.from.pd) / share
	o.Clients += (until.clients - h.from.clients) / share
	o.PDBefore += (h.begin.pd - h.from.pd) / share
	o.ClientsBefore += (h.begin.clients - h.from.clients) / share
	each := times * o.Crowd.Count
	for method, n := range perClient(h.counts.RPCs, each) {
		o.RPCs[method] += n
	}
	for method, n := range perClient(h.counts.Requests, each) {
		o.Requests[method] += n
	}
	o.Connects += float64(h.counts.Connects) / float64(each)
}

// perClient returns what there is for one of so many.
func perClient(counts map[string]int64, count int) map[string]float64 {
	each := make(map[string]float64, len(counts))
	for method, n := range counts {
		each[method] = float64(n) / float64(count)
	}
	return each
}

// recovery notes when the clients were served again, if that was the worst time, and returns
// what had been spent when all were.
func (o *CrowdOutcome) recovery(h *crowdHit) reading {
	r := h.recovery(o.Crowd.Count)
	if all := time.Duration(r.all - h.begin.at); r.unserved > o.Unserved || r.unserved == o.Unserved && all >= o.All {
		o.Unserved = r.unserved
		o.First, o.Half, o.All = time.Duration(r.first-h.begin.at), time.Duration(r.half-h.begin.at), all
	}
	for _, spent := range h.after {
		if spent.at >= r.all && r.unserved == 0 {
			return spent
		}
	}
	return h.after[len(h.after)-1]
}

// tally counts the calls, and returns those that succeeded.
func (o *CrowdOutcome) tally(calls []groupCall) (succeeded []history.Call) {
	for _, c := range calls {
		if c.Error != "" {
			o.Errors++
			o.Messages[c.Error]++
			continue
		}
		o.Calls++
		succeeded = append(succeeded, history.Call{Start: c.Start, End: c.End, T: c.T})
	}
	return succeeded
}

// recovery says when clients were served again.
type recovery struct {
	first, half, all int64
	unserved         int
}

// recovery finds out when clients were served again: after the longest time in which none of
// them was. A client whose call began later, because it paused, is taken for served that
// much earlier.
func (h *crowdHit) recovery(count int) recovery {
	calls := slices.Clone(h.calls)
	slices.SortFunc(calls, func(a, b groupCall) int { return int(a.End - b.End) })
	var ends []int64
	for _, c := range calls {
		if c.Error == "" {
			ends = append(ends, c.End)
		}
	}
	gap := longest(silences(ends, span{h.from.at, h.to}, 0))
	starts, again := make(map[int]int64), make(map[int]int64) // by client
	for _, c := range calls {
		if c.End < gap.to || again[c.Client] != 0 {
			continue
		}
		if _, ok := starts[c.Client]; !ok {
			starts[c.Client] = c.Start
		}
		if c.Error == "" {
			again[c.Client] = c.End - max(0, starts[c.Client]-gap.to)
		}
	}
	return inOrder(again, gap.to, count)
}

// inOrder says when the first of so many clients was served, given those that were.
func inOrder(again map[int]int64, first int64, count int) recovery {
	times := make([]int64, 0, len(again))
	for _, at := range again {
		times = append(times, at)
	}
	slices.Sort(times)
	r := recovery{first: first, half: first, all: first, unserved: count - len(times)}
	if n := len(times); n > 0 {
		r.half, r.all = times[(n-1)/2], times[n-1]
	}
	return r
}

func longest(spans []span) (most span) {
	for _, s := range spans {
		if s.length() > most.length() {
			most = s
		}
	}
	return most
}
