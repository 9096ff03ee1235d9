package tso

import "sync/atomic"

// Stats is what a client has done so far. The counters only grow. Where they count calls,
// each RPC that a GetTSBatch takes counts as one.
type Stats struct {
	// RPCs is the number of requests sent to PD, and Timestamps the number
	// of timestamps that they asked for: one RPC serves Timestamps/RPCs calls
	// on average, where none is a GetTSBatch. LargestBatch is the most timestamps that
	// one RPC has asked for, at most 10,000.
	RPCs, Timestamps, LargestBatch int64
	// Abandoned is the number of calls whose context ended before they were
	// sent.
	Abandoned int64
	// Streams is the number of TSO streams opened, and Resent the number of
	// batches that were sent again on another stream.
	Streams, Resent int64
	// Suspicions is how often a stream was silent for so long, or failed, that others were
	// tried beside it, and CutOvers how often one of them took its place. Probes is the
	// number of those, and of those that were tried to spread requests over members.
	Suspicions, Probes, CutOvers int64
	// BadAnswers is the number of answers from PD that could not be used, and
	// Fallbacks the number that granted timestamps a second time. A member that passes
	// requests on to the leader loses some when another client goes, and then answers
	// with what belongs to later ones: with forwarding on, a few bad answers are that.
	BadAnswers, Fallbacks int64
	// TimeJumps is how often a physical time was believed that was more than 25 hours ahead
	// of the timestamps before it, because the leader insisted; until then such answers are
	// bad ones.
	TimeJumps int64
	// BudgetsSpent is the number of calls that ran out of budget, and RingFull
	// the number of calls that had to wait for room in a ring.
	BudgetsSpent, RingFull int64
	// Yields is how often a reader of a connection that had nothing to read set an
	// alarm to look again, because the process has more work than processors, and
	// Parks how often it just waited for the network.
	Yields, Parks int64
	// Highest is the highest timestamp of the global scope that PD has granted to this
	// client, composed (ComposeTS); 0 before the first.
	Highest uint64
	// MemberRequests is the number of GetMembers RPCs sent. Watches is how often the client has
	// begun to watch who leads PD, at one of its members, and LeaderEvents how often it was told
	// that somebody does, or nobody any more. Where Watches is 0, as behind a proxy that does
	// not let etcd's calls through, leaders are found by asking, which takes PD more and callers
	// longer.
	MemberRequests, Watches, LeaderEvents int64
}

// counters are the Stats of a client, written by its lanes. Those of the hot
// path are written once a batch, in the send seat.
type counters struct {
	rpcs, timestamps, largest atomic.Int64
	abandoned                 atomic.Int64
	streams, resent           atomic.Int64
	suspicions, probes        atomic.Int64
	cutOvers                  atomic.Int64
	badAnswers, fallbacks     atomic.Int64
	timeJumps                 atomic.Int64
	spent, ringFull           atomic.Int64
	highest                   atomic.Uint64
}

// sent counts an RPC for n timestamps.
func (c *counters) sent(n int) {
	c.rpcs.Add(1)
	c.timestamps.Add(int64(n))
	for before := c.largest.Load(); before < int64(n); before = c.largest.Load() {
		if c.largest.CompareAndSwap(before, int64(n)) {
			return
		}
	}
}

func (c *counters) snapshot() Stats {
	return Stats{
		RPCs:         c.rpcs.Load(),
		Timestamps:   c.timestamps.Load(),
		LargestBatch: c.largest.Load(),
		Abandoned:    c.abandoned.Load(),
		Streams:      c.streams.Load(),
		Resent:       c.resent.Load(),
		Suspicions:   c.suspicions.Load(),
		Probes:       c.probes.Load(),
		CutOvers:     c.cutOvers.Load(),
		BadAnswers:   c.badAnswers.Load(),
		Fallbacks:    c.fallbacks.Load(),
		TimeJumps:    c.timeJumps.Load(),
		BudgetsSpent: c.spent.Load(),
		RingFull:     c.ringFull.Load(),
		Highest:      c.highest.Load(),
	}
}
