package tsotest

import (
	"maps"
	"slices"

	"github.com/pingcap/kvproto/pkg/pdpb"
)

// nobody leads: no member has this number.
const nobody = -1

// topology is who is there and who leads what. A topology is never changed once
// published, so a request looks at one without a lock; changes are made to a
// copy, under Server.mu.
type topology struct {
	members []*member // by number; nil where a member was removed
	leader  int       // nobody, or a member
	dcs     map[string]allocator
}

// allocator is what gives out one dc-location's timestamps.
type allocator struct {
	scope *scope
	index int // from 0, in the order of AddDC
	lead  int // nobody, or a member
}

func (t *topology) clone() *topology {
	return &topology{members: slices.Clone(t.members), leader: t.leader, dcs: maps.Clone(t.dcs)}
}

// member returns the member with that number, or nil.
func (t *topology) member(i int) *member {
	if i < 0 || i >= len(t.members) {
		return nil
	}
	return t.members[i]
}

// byAddr returns the member that listens on an address, or nil.
func (t *topology) byAddr(addr string) *member {
	for _, m := range t.members {
		if m != nil && m.addr == addr {
			return m
		}
	}
	return nil
}

// scopeOf returns the scope that a request names, and who leads it.
func (t *topology) scopeOf(o *oracle, dc string) (sc *scope, lead int, ok bool) {
	if dc == "" || dc == globalScope {
		return o.global, t.leader, true
	}
	a, ok := t.dcs[dc]
	return a.scope, a.lead, ok
}

// urls returns the client URLs of all members.
func (t *topology) urls() []string {
	urls := make([]string, 0, len(t.members))
	for _, m := range t.members {
		if m != nil {
			urls = append(urls, m.url)
		}
	}
	return urls
}

// response is what every member answers to GetMembers. It is built anew each
// time, since ScriptMembers may write into it.
func (t *topology) response(clusterID uint64) *pdpb.GetMembersResponse {
	resp := &pdpb.GetMembersResponse{Header: &pdpb.ResponseHeader{ClusterId: clusterID}}
	for _, m := range t.members {
		if m != nil {
			resp.Members = append(resp.Members, t.describe(m))
		}
	}
	if m := t.member(t.leader); m != nil {
		resp.Leader, resp.EtcdLeader = t.describe(m), t.describe(m)
	}
	for name, a := range t.dcs {
		if m := t.member(a.lead); m != nil {
			if resp.TsoAllocatorLeaders == nil {
				resp.TsoAllocatorLeaders = make(map[string]*pdpb.Member)
			}
			resp.TsoAllocatorLeaders[name] = t.describe(m)
		}
	}
	return resp
}

// describe returns the wire form of a member.
func (t *topology) describe(m *member) *pdpb.Member {
	d := &pdpb.Member{
		Name:          m.name,
		MemberId:      m.id(),
		PeerUrls:      []string{m.url},
		ClientUrls:    []string{m.url},
		BinaryVersion: "v0.0.0-tsotest",
	}
	for name, a := range t.dcs {
		if m.index%len(t.dcs) == a.index%len(t.dcs) {
			d.DcLocation = name
		}
	}
	return d
}
