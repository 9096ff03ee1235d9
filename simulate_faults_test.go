package tso

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/tsotest"
)

// simKind is a kind of fault. begin does it, to something that r chooses, and returns
// what it did and how to end it, nil if it ends by itself. On the nemesis's goroutine.
type simKind struct {
	name  string
	begin func(w *simWorld, r *rand.Rand) (what string, end func())
}

// simProfile is the kinds of fault that a run has.
type simProfile struct {
	name  string
	kinds []simKind
	// onlyDC: all faults are those of one dc-location, and all other scopes are
	// served as if nothing were.
	onlyDC bool
}

var simProfiles = []simProfile{
	{name: "everything", kinds: simJoin(simCluster, simPaths, simAnswers, simDiscovery, simDCs, simOptions, simWatches)},
	{name: "everything", kinds: simJoin(simCluster, simPaths, simAnswers, simDiscovery, simDCs, simOptions, simWatches)},
	{name: "cluster", kinds: simCluster},
	{name: "watches", kinds: simJoin(simWatches, simCluster)},
	{name: "watches", kinds: simJoin(simWatches, simMoves)},
	{name: "paths", kinds: simPaths},
	{name: "paths and proxy", kinds: simJoin(simPaths, simCluster, simOptions)},
	{name: "answers", kinds: simAnswers},
	{name: "discovery", kinds: simJoin(simDiscovery, simMoves)},
	{name: "dcs", kinds: simJoin(simDCs, simMoves)},
	{name: "one dc", kinds: simOneDC, onlyDC: true},
	{name: "moves", kinds: simJoin(simMoves, simOptions)},
}

func simJoin(groups ...[]simKind) []simKind {
	var all []simKind
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// simMoves are what a caller hardly notices.
var simMoves = []simKind{
	{"move the leader", func(w *simWorld, r *rand.Rand) (string, func()) {
		i := w.member(r)
		return fmt.Sprint("to ", i), w.do(w.server.MoveLeader(i))
	}},
	{"end streams", onMember((*tsotest.Server).CloseStreams, nil)},
	{"reset connections", onMember(func(s *tsotest.Server, i int) error { return s.ResetConns(i) }, nil)},
	{"move an allocator", func(w *simWorld, r *rand.Rand) (string, func()) {
		dc, i := w.dc(r), w.member(r)
		return fmt.Sprintf("of %s to %d", dc, i), w.do(w.server.MoveAllocator(dc, i))
	}},
}

var simCluster = simJoin(simMoves, []simKind{
	{"no leader", func(w *simWorld, r *rand.Rand) (string, func()) {
		w.server.DropLeader()
		return "", func() { _ = w.server.MoveLeader(w.member(r)) }
	}},
	{"stop a member", onMember((*tsotest.Server).StopMember, (*tsotest.Server).StartMember)},
	{"stop the leader", func(w *simWorld, r *rand.Rand) (string, func()) {
		i := w.server.Leader()
		if i < 0 {
			return "there is none", nil
		}
		_ = w.server.StopMember(i)
		if r.IntN(2) == 0 { // the others elect another at the end
			return fmt.Sprint(i), func() {
				_ = w.server.MoveLeader(w.member(r))
				_ = w.server.StartMember(i)
			}
		}
		return fmt.Sprint(i), func() { _ = w.server.StartMember(i) }
	}},
	{"stop all members", func(w *simWorld, _ *rand.Rand) (string, func()) {
		stopped := w.all()
		for _, i := range stopped {
			_ = w.server.StopMember(i)
		}
		return "", func() {
			for _, i := range stopped {
				_ = w.server.StartMember(i)
			}
		}
	}},
	{"add a member", func(w *simWorld, _ *rand.Rand) (string, func()) {
		if len(w.all()) >= 6 {
			return "there are enough", nil
		}
		i, _ := w.server.AddMember()
		return fmt.Sprint(i), nil
	}},
	{"remove a member", func(w *simWorld, r *rand.Rand) (string, func()) {
		if len(w.all()) < 2 {
			return "it is the last", nil
		}
		i := w.member(r)
		if i == 0 {
			return "not the one that clients can always ask", nil
		}
		hidden := w.odd("members", w.plan.dcs...)
		return fmt.Sprint(i), w.then(w.server.RemoveMember(i), func() {
			w.elect(r)
			hidden()
		})
	}},
	{"freeze a member", onMember(
		func(s *tsotest.Server, i int) error { return s.Hold(i) },
		func(s *tsotest.Server, i int) error { return s.Release(i) })},
	{"jump of the clock", func(w *simWorld, r *rand.Rand) (string, func()) {
		by := simUpTo(r, time.Millisecond, 10*time.Hour)
		if r.IntN(2) == 0 {
			by = -by
		}
		w.clock.Add(int64(by))
		return by.String(), nil
	}},
	{"say not serving", onMember(
		func(s *tsotest.Server, i int) error { return s.SetServing(i, false) },
		func(s *tsotest.Server, i int) error { return s.SetServing(i, true) })},
})

var simPaths = simJoin(simMoves, []simKind{
	{"cut the path", onMember((*tsotest.Server).CutPath, (*tsotest.Server).HealPath)},
	{"cut the path of the leader", func(w *simWorld, _ *rand.Rand) (string, func()) {
		i := w.server.Leader()
		return fmt.Sprint(i), w.then(w.server.CutPath(i), func() { _ = w.server.HealPath(i) })
	}},
	{"silence connections", onMember((*tsotest.Server).SilenceConns, nil)},
	{"silence the leader's connections", func(w *simWorld, _ *rand.Rand) (string, func()) {
		i := w.server.Leader()
		return fmt.Sprint(i), w.do(w.server.SilenceConns(i))
	}},
	{"latency", func(w *simWorld, r *rand.Rand) (string, func()) {
		i, d := w.member(r), simUpTo(r, time.Millisecond, time.Second)
		_ = w.server.SetLatency(d, i)
		return fmt.Sprintf("%v at %d", d, i), func() { _ = w.server.SetLatency(w.plan.latency, i) }
	}},
	{"freeze a member", onMember(
		func(s *tsotest.Server, i int) error { return s.Hold(i) },
		func(s *tsotest.Server, i int) error { return s.Release(i) })},
})

// onMember makes a fault of what is done to one member, and undone.
func onMember(begin, end func(*tsotest.Server, int) error) func(*simWorld, *rand.Rand) (string, func()) {
	return func(w *simWorld, r *rand.Rand) (string, func()) {
		i := w.member(r)
		if end == nil {
			return fmt.Sprint(i), w.do(begin(w.server, i))
		}
		return fmt.Sprint(i), w.then(begin(w.server, i), func() { _ = end(w.server, i) })
	}
}

// errUnwatched is what a member says that lets nobody watch it.
var errUnwatched = status.Error(codes.Unimplemented, "unknown service etcdserverpb.KV")

// simWatches are what is wrong with watches. Some of it has no way back: the next watch is better.
var simWatches = []simKind{
	{"hold watches", onMember(
		func(s *tsotest.Server, i int) error { return s.HoldWatches(i) },
		func(s *tsotest.Server, i int) error { return s.ReleaseWatches(i) })},
	{"cut a member's watches off", onMember(
		func(s *tsotest.Server, i int) error { return s.SetWatchBehind(true, i) },
		func(s *tsotest.Server, i int) error { return s.SetWatchBehind(false, i) })},
	{"late watches", func(w *simWorld, r *rand.Rand) (string, func()) {
		i, d := w.member(r), simUpTo(r, time.Millisecond, 5*time.Second)
		_ = w.server.SetWatchDelay(d, i)
		return fmt.Sprintf("%v at %d", d, i), func() { _ = w.server.SetWatchDelay(0, i) }
	}},
	{"refuse watches", func(w *simWorld, r *rand.Rand) (string, func()) {
		if w.plan.unwatched {
			return "they are anyway", nil
		}
		i, err := w.member(r), pick(r, errUnwatched, status.Error(codes.Internal, "no watches today"))
		_ = w.server.RefuseWatches(err, i)
		return fmt.Sprintf("at %d with %v", i, err), func() { _ = w.server.RefuseWatches(nil, i) }
	}},
	{"end watches", onMember(func(s *tsotest.Server, i int) error { return s.EndWatches(i) }, nil)},
	{"compact", func(w *simWorld, _ *rand.Rand) (string, func()) { return "", w.do(w.server.CompactWatches()) }},
	{"lying watches", func(w *simWorld, r *rand.Rand) (string, func()) {
		lie, of := w.lie(r), w.member(r)
		w.server.ScriptWatch(func(member int, a *tsotest.WatchAnswer) error {
			if member != of {
				return nil
			}
			return lie(a)
		})
		return fmt.Sprint("at ", of), func() { w.server.ScriptWatch(nil) }
	}},
}

// lie returns what makes a watch lie: about who leads, that nobody does, by what cannot be read, or
// by the loss of what it says.
func (w *simWorld) lie(r *rand.Rand) func(*tsotest.WatchAnswer) error {
	member := &pdpb.Member{Name: "pd", MemberId: 1 + r.Uint64N(9), ClientUrls: []string{w.server.URL(w.member(r))}}
	value, err := member.Marshal()
	if err != nil || r.IntN(4) == 0 {
		value = []byte{0xff}
	}
	how := r.IntN(4)
	return func(a *tsotest.WatchAnswer) error {
		for i := range a.Events {
			e := &a.Events[i]
			switch how {
			case 0:
				e.Deleted, e.Value = true, nil
			case 1:
				a.Drop = !a.Range
			default:
				e.Deleted, e.Value = false, value
			}
		}
		return nil
	}
}

var simDCs = []simKind{
	{"remove a dc-location", func(w *simWorld, r *rand.Rand) (string, func()) { return w.removeDC(w.dc(r)) }},
	{"move an allocator", simMoves[3].begin},
	{"add a dc-location", func(w *simWorld, r *rand.Rand) (string, func()) {
		dc := fmt.Sprintf("dc-%d", 4+r.IntN(3)) // those that callers sometimes ask for although they are not there
		if err := w.server.AddDC(dc); err != nil {
			return err.Error(), nil
		}
		return dc, func() { _ = w.server.RemoveDC(dc) }
	}},
}

// simOneDC are faults that only dc-1 suffers from.
var simOneDC = []simKind{
	{"remove dc-1", func(w *simWorld, _ *rand.Rand) (string, func()) { return w.removeDC("dc-1") }},
	{"move dc-1", func(w *simWorld, r *rand.Rand) (string, func()) {
		i := w.member(r)
		return fmt.Sprint("to ", i), w.do(w.server.MoveAllocator("dc-1", i))
	}},
	{"bad answers for dc-1", func(w *simWorld, r *rand.Rand) (string, func()) { return w.badAnswers(r, "dc-1") }},
}

var simOptions = []simKind{
	{"batch interval", setOption(MaxTSOBatchWaitInterval, func(r *rand.Rand) any {
		return pick(r, time.Duration(0), time.Millisecond, 10*time.Millisecond, 300*time.Microsecond)
	}, time.Duration(0))},
	{"follower proxy", setOption(EnableTSOFollowerProxy, func(r *rand.Rand) any { return r.IntN(2) == 0 }, false)},
	{"follower proxy", setOption(EnableTSOFollowerProxy, func(*rand.Rand) any { return true }, false)},
	{"RPC concurrency", setOption(TSOClientRPCConcurrency, func(r *rand.Rand) any { return 1 + r.IntN(5) }, maxInFlight)},
}

// setOption makes a fault of setting an option of all clients to a value that draw
// draws, and back.
func setOption(o DynamicOption, draw func(*rand.Rand) any, back any) func(*simWorld, *rand.Rand) (string, func()) {
	set := func(w *simWorld, v any) {
		for _, c := range w.clients {
			if err := c.UpdateOption(o, v); err != nil {
				w.violation("UpdateOption(%v, %v): %v", o, v, err)
			}
		}
	}
	return func(w *simWorld, r *rand.Rand) (string, func()) {
		v := draw(r)
		set(w, v)
		return fmt.Sprint(v), func() { set(w, back) }
	}
}
