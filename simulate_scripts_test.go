package tso

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/tsotest"
)

// The faults that are single odd messages.

var simAnswers = []simKind{
	{"bad answers", func(w *simWorld, r *rand.Rand) (string, func()) { return w.badAnswers(r, "") }},
	{"bad answers", func(w *simWorld, r *rand.Rand) (string, func()) { return w.badAnswers(r, "") }},
	{"odd streams", func(w *simWorld, r *rand.Rand) (string, func()) {
		name := pick(r, simOpenNames...)
		reply, one := simOpenReplies[name], 1+r.IntN(5)
		var n atomic.Int64
		odd := w.odd("answers")
		w.poisoned = w.poisoned || reply.Extra > 0 || reply.Drop
		w.server.ScriptOpen(func(tsotest.Request) tsotest.Reply {
			if n.Add(1)%int64(one) != 0 {
				return tsotest.Reply{}
			}
			return reply
		})
		return fmt.Sprintf("%s, one in %d", name, one), func() {
			w.server.ScriptOpen(nil)
			_ = w.server.Release()
			odd()
		}
	}},
	{"end streams", onMember((*tsotest.Server).CloseStreams, nil)},
}

// badAnswers has one answer in some, for dc or for all, be one that no PD should give.
func (w *simWorld) badAnswers(r *rand.Rand, dc string) (string, func()) {
	name := pick(r, simReplyNames...)
	reply, one := simReplies[name], 1+r.IntN(20)
	var n atomic.Int64
	odd := w.odd("answers")
	w.poisoned = w.poisoned || reply.Extra > 0 || reply.Drop
	w.server.Script(func(q tsotest.Request) tsotest.Reply {
		if dc != "" && q.DC != dc || n.Add(1)%int64(one) != 0 {
			return tsotest.Reply{}
		}
		return reply
	})
	return fmt.Sprintf("%s, one in %d", name, one), func() {
		w.server.Script(nil)
		odd()
	}
}

// simReplies are the answers that tests have singly, and more.
var simReplies = func() map[string]tsotest.Reply {
	all := maps.Clone(hostileReplies)
	// Not above any that was handed out: smaller ones that were not handed out to
	// this client it cannot tell from good ones.
	all["timestamps of before"] = edit(func(r *pdpb.TsoResponse) { r.Timestamp.Physical = 1000 })
	all["held back"] = tsotest.Reply{Delay: simCalm / 2}
	all["swallowed"] = tsotest.Reply{Drop: true}
	return all
}()

var simOpenReplies = map[string]tsotest.Reply{
	"refused":                   {Err: status.Error(codes.Unavailable, "connection refused")},
	"internal error":            {Err: status.Error(codes.Internal, "no")},
	"limit of streams":          {Err: status.Error(codes.ResourceExhausted, "max count of TSO proxy routines exceeded")},
	"not leader":                {Err: tsotest.ErrNotLeader("global")},
	"slow":                      {Delay: simCalm / 2},
	"held":                      {Hold: true},
	"unsolicited answer":        {Extra: 1},
	"bytes that nobody expects": {Raw: []byte{0xff, 0xff}},
}

// The names, in an order that a seed can count on.
var (
	simReplyNames  = slices.Sorted(maps.Keys(simReplies))
	simOpenNames   = slices.Sorted(maps.Keys(simOpenReplies))
	simMemberNames = slices.Sorted(maps.Keys(simMemberLists))
)

var simDiscovery = []simKind{{"odd lists of members", func(w *simWorld, r *rand.Rand) (string, func()) {
	name := pick(r, simMemberNames...)
	list, one := simMemberLists[name], 1+r.IntN(3)
	var n atomic.Uint64
	odd := w.odd("members", w.dcNames()...)
	w.server.ScriptMembers(func(member int, resp *pdpb.GetMembersResponse) error {
		i := n.Add(1)
		if i%uint64(one) != 0 {
			return nil
		}
		return list(resp, member, rand.New(rand.NewPCG(i, 0)))
	})
	return fmt.Sprintf("%s, one in %d", name, one), func() {
		w.server.ScriptMembers(nil)
		odd()
	}
}}}

// simMemberLists are what members may say of each other.
var simMemberLists = map[string]func(resp *pdpb.GetMembersResponse, member int, r *rand.Rand) error{
	"in another order": func(m *pdpb.GetMembersResponse, _ int, r *rand.Rand) error {
		r.Shuffle(len(m.Members), func(i, j int) { m.Members[i], m.Members[j] = m.Members[j], m.Members[i] })
		return nil
	},
	"twice": func(m *pdpb.GetMembersResponse, _ int, _ *rand.Rand) error {
		m.Members = append(m.Members, m.Members...)
		return nil
	},
	"empty": func(m *pdpb.GetMembersResponse, _ int, _ *rand.Rand) error {
		m.Members = nil
		return nil
	},
	"without a leader": func(m *pdpb.GetMembersResponse, _ int, _ *rand.Rand) error {
		m.Leader = nil
		return nil
	},
	"with any leader": func(m *pdpb.GetMembersResponse, _ int, r *rand.Rand) error {
		m.Leader = pick(r, m.Members...)
		return nil
	},
	"each its own leader": func(m *pdpb.GetMembersResponse, member int, _ *rand.Rand) error {
		m.Leader = m.Members[member%len(m.Members)]
		return nil
	},
	"without allocators": func(m *pdpb.GetMembersResponse, _ int, _ *rand.Rand) error {
		m.TsoAllocatorLeaders = nil
		return nil
	},
	"with any allocators": func(m *pdpb.GetMembersResponse, _ int, r *rand.Rand) error {
		for dc := range m.TsoAllocatorLeaders {
			m.TsoAllocatorLeaders[dc] = pick(r, m.Members...)
		}
		return nil
	},
	"of another cluster": func(m *pdpb.GetMembersResponse, _ int, _ *rand.Rand) error {
		m.Header.ClusterId++
		return nil
	},
	"with strangers": func(m *pdpb.GetMembersResponse, _ int, r *rand.Rand) error {
		for i := range uint64(r.IntN(40)) {
			url := fmt.Sprintf("http://198.51.100.%d:2379", i)
			m.Members = append(m.Members, &pdpb.Member{Name: url, MemberId: 100 + i, ClientUrls: []string{url}})
		}
		return nil
	},
	"with odd addresses": func(m *pdpb.GetMembersResponse, _ int, r *rand.Rand) error {
		odd := pick(r, "", "::::", "unix:///x", "https://192.0.2.1:2379", "http://192.0.2.1:2379/path?q#f")
		m.Members = append(m.Members, &pdpb.Member{}, &pdpb.Member{ClientUrls: []string{odd}})
		if r.IntN(3) == 0 {
			m.Leader = &pdpb.Member{ClientUrls: []string{odd}}
		}
		return nil
	},
	"an error":      func(*pdpb.GetMembersResponse, int, *rand.Rand) error { return tsotest.ErrNotStarted() },
	"another error": func(*pdpb.GetMembersResponse, int, *rand.Rand) error { return status.Error(codes.Internal, "no") },
	"a header error": func(m *pdpb.GetMembersResponse, _ int, _ *rand.Rand) error {
		m.Header.Error = &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "no"}
		return nil
	},
}
