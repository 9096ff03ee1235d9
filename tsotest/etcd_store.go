package tsotest

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
)

// firstState is an etcd in which nothing has been written.
var firstState = etcdState{revision: 1, term: 2}

// restartLag is how long a member that was started again knows what it knew when it was stopped.
// A real one answers some 100 ms before it has caught up.
const restartLag = 100 * time.Millisecond

// etcdState is how far a member has got.
type etcdState struct {
	revision  int64
	term      uint64 // rises as a leader falls, since PD's leader is etcd's
	compacted int64  // what was before this revision is not told any more
}

// change is what happened to a key at a revision, and when. It is never changed.
type change struct {
	WatchEvent
	at time.Time
}

// etcd is what the members agree on: the keys of who leads what, one revision for each change.
type etcd struct {
	clusterID uint64 // PD's

	mu      sync.Mutex          // held for a few steps only; after Server.mu and member.mu
	head    etcdState           // guarded by mu
	history map[string][]change // guarded by mu; by key, in order; never cut, for members that are behind
	holders map[string]*member  // guarded by mu; by key that there is
	changed chan struct{}       // guarded by mu; closed, and replaced, when a stream should look
}

func newEtcd(clusterID uint64) *etcd {
	return &etcd{
		clusterID: clusterID,
		head:      firstState,
		history:   make(map[string][]change),
		holders:   make(map[string]*member),
		changed:   make(chan struct{}),
	}
}

// follow writes who leads what in t, if it is news: what somebody else held is deleted, then what
// somebody holds now is put. Server.mu is held, so that topologies come in order.
func (e *etcd) follow(t *topology) {
	offices := t.offices(e.clusterID)
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, key := range slices.Sorted(maps.Keys(e.holders)) {
		if offices[key] == e.holders[key] {
			continue
		}
		delete(e.holders, key)
		if key == leaderKey(e.clusterID) {
			e.head.term++
		}
		e.write(now, WatchEvent{Key: key, Deleted: true})
	}
	for _, key := range slices.Sorted(maps.Keys(offices)) {
		if m := offices[key]; e.holders[key] == nil {
			e.holders[key] = m
			e.write(now, WatchEvent{Key: key, Value: m.candidate()})
		}
	}
}

// offices returns the keys of what somebody leads, and who.
func (t *topology) offices(clusterID uint64) map[string]*member {
	offices := make(map[string]*member, 1+len(t.dcs))
	if m := t.member(t.leader); m != nil {
		offices[leaderKey(clusterID)] = m
	}
	for dc, a := range t.dcs {
		if m := t.member(a.lead); m != nil {
			offices[allocatorKey(clusterID, dc)] = m
		}
	}
	return offices
}

func leaderKey(clusterID uint64) string {
	return "/pd/" + strconv.FormatUint(clusterID, 10) + "/leader"
}

func allocatorKey(clusterID uint64, dc string) string {
	return "/pd/" + strconv.FormatUint(clusterID, 10) + "/lta/" + dc
}

// candidate is what a member writes into the key of what it leads.
func (m *member) candidate() []byte {
	value, _ := (&pdpb.Member{ // its encoding cannot fail
		Name:       m.name,
		MemberId:   m.id(),
		PeerUrls:   []string{m.url},
		ClientUrls: []string{m.url},
	}).Marshal()
	return value
}

// write makes a change. mu is held.
func (e *etcd) write(now time.Time, event WatchEvent) {
	e.head.revision++
	event.Revision = e.head.revision
	e.history[event.Key] = append(e.history[event.Key], change{WatchEvent: event, at: now})
	e.wake()
}

// wake has all who wait look again. mu is held.
func (e *etcd) wake() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// at returns the change that a key's value at a revision comes from, if it has one. mu is held.
func (e *etcd) at(key string, revision int64) (change, bool) {
	past := e.between(key, 0, revision)
	if len(past) == 0 || past[len(past)-1].Deleted {
		return change{}, false
	}
	return past[len(past)-1], true
}

// between returns a key's changes from one revision to another, both included. mu is held.
func (e *etcd) between(key string, from, to int64) []change {
	all := e.history[key]
	i, j := firstFrom(all, from), firstFrom(all, to+1)
	return all[min(i, j):j]
}

// firstFrom returns the index of the first change at a revision or after it.
func firstFrom(all []change, revision int64) int {
	i, _ := slices.BinarySearchFunc(all, revision, func(c change, r int64) int { return int(c.Revision - r) })
	return i
}

// view is what one member knows of etcd, and what it may be suffering from. etcd.mu guards it.
type view struct {
	known etcdState // while it does not follow the others
	cut   bool      // it does not, until it is told to
	down  bool      // its process is stopped
	until time.Time // it does not before

	held    bool          // it says nothing
	delay   time.Duration // of events
	refusal error         // what it says to who begins
	ended   uint64        // how often its watches were ended
}

// state returns how far the member has got.
func (v *view) state(e *etcd, now time.Time) etcdState {
	if v.cut || v.down || now.Before(v.until) {
		return v.known
	}
	return e.head
}

// catchUp returns when the member is going to get on by itself; zero if it is not.
func (v *view) catchUp(now time.Time) time.Time {
	if v.cut || v.down || !now.Before(v.until) {
		return time.Time{}
	}
	return v.until
}

// setCut cuts the member off from the others, or ends that.
func (v *view) setCut(e *etcd, cut bool) {
	v.known = v.state(e, time.Now())
	v.cut = cut
}

// stop and start are those of the member's process.
func (v *view) stop(e *etcd) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v.known = v.state(e, time.Now())
	v.down = true
}

func (v *view) start(e *etcd) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v.down {
		v.down = false
		v.until = time.Now().Add(restartLag)
	}
}
