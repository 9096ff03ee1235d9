package member

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"go.uber.org/zap"

	"github.com/tsoring/tso/internal/etcdwatch"
	"github.com/tsoring/tso/internal/office"
)

// PD's members serve etcd on their client URLs, and who leads PD is a key there: it is deleted when the office falls vacant,
// and written anew some milliseconds before the next leader grants its first timestamp. So a client that watches it needs to
// ask nobody until it is told. One watch is kept, at a follower if there is any (see post.go), and a second one elsewhere
// while there is trouble.
//
// A watch is a hint. What it tells is not put into the snapshot, which lists alone make: it says whom to ask first, and whom
// there is no use in asking. It may be silent for more than one reason, so when trouble begins nothing is made of it before
// the member that is watched has shown that it is awake, since one that is frozen tells nothing. One that is cut off from the others
// does not know, which the second watch shows.

// Office is what watches say of the leader's office. The zero value says that there is none to rely on.
type Office struct {
	State office.State
	// Holder is the URL of who was named last, in the states Named and Refuted.
	Holder string
	// Told is when an event brought that: zero if the watch began with it.
	Told time.Time
	// Awaited says that trouble has begun and a watch has been asked whether it is alive: it is about to be relied on.
	Awaited bool
}

// refuteGrace is how long after an event has named a leader nothing that it says refutes that: it is about to serve.
const refuteGrace = 500 * time.Millisecond

// watches keep the watch of the leader's key. Methods may be called from any goroutine.
//
// A plain mutex: it is taken where a watch tells something, and where a stream of timestamps is lost.
type watches struct {
	m             *Members
	first, second post

	mu      sync.Mutex
	office  office.Office          // Guarded by mu, like the next five.
	told    time.Time              // See Office.Told.
	term    uint64                 // The highest that a member has told.
	trouble bool                   // There is some.
	shunned map[string]shunned     // Members that have not let themselves be watched, by URL.
	now     atomic.Pointer[Office] // Written under mu.
}

// shunned is a member that is not watched until a time, and for how long that was.
type shunned struct {
	until time.Time
	pause time.Duration
}

func (w *watches) init(m *Members) {
	w.m, w.shunned = m, make(map[string]shunned)
	w.first = post{watches: w, other: &w.second, stir: make(chan struct{}, 1)}
	w.second = post{watches: w, other: &w.first, stir: make(chan struct{}, 1), relief: true}
	w.now.Store(new(Office))
}

// Office returns what watches say of the leader's office. It is one atomic load.
func (m *Members) Office() Office { return *m.watches.now.Load() }

// Trouble says that the leader does not seem to serve, and that what watches say is wanted: they are asked whether they are
// alive, and a second one begins. Office says Unwatched until one has shown that it is. It never blocks.
func (m *Members) Trouble() {
	w := &m.watches
	w.change(func() {
		if !w.trouble {
			w.trouble = true
			w.first.proof, w.second.proof = awaited, awaited
			w.first.wake()
			w.second.wake()
		}
	})
}

// Calm ends what Trouble has begun. serves is the URL of the member that serves now, "" if that is not known. It never blocks.
func (m *Members) Calm(serves string) {
	w := &m.watches
	w.change(func() {
		w.trouble = false
		// A late answer of the one before says nothing of who has just been named.
		if serves == w.office.Holder() || serves != "" && time.Since(w.told) >= refuteGrace {
			w.office.Serves(serves)
		}
	})
	w.first.wake()
	w.second.wake()
}

// Refute says that the member at url has been asked and says that it does not lead. It never blocks.
func (m *Members) Refute(url string) {
	m.watches.change(func() {
		if time.Since(m.watches.told) >= refuteGrace {
			m.watches.office.Refute(url)
		}
	})
}

// change does something under mu, and tells if that makes a difference.
func (w *watches) change(do func()) {
	w.mu.Lock()
	do()
	told := w.publish()
	w.mu.Unlock()
	if told && w.m.cfg.OnOffice != nil {
		w.m.cfg.OnOffice()
	}
}

// publish puts what is known where Office finds it, and reports whether it is something else than before. Under mu.
func (w *watches) publish() bool {
	now := Office{Awaited: w.first.live && w.first.proof == awaited && w.trouble}
	if w.reliable() {
		now = Office{State: w.office.State(), Holder: w.office.Holder(), Told: w.told}
	}
	before := w.now.Load()
	if *before == now {
		return false
	}
	w.now.Store(&now)
	return true
}

// reliable reports whether the watches are worth going by. Under mu.
func (w *watches) reliable() bool {
	if !w.trouble {
		return w.first.live || w.second.live
	}
	return w.first.proof == given || w.second.proof == given
}

// leaderKey is the key of the leader's office, "" where the cluster has not told its id.
func leaderKey(cluster uint64) string {
	if cluster == 0 {
		return ""
	}
	return fmt.Sprintf("/pd/%d/leader", cluster)
}

// takeEvent takes in a change of the leader's key or, with begins, what it holds where a watch begins. Under mu.
func (w *watches) takeEvent(e etcdwatch.Event, begins bool) error {
	var changed bool
	if e.Deleted {
		changed = w.office.Vacant(e.Revision)
	} else {
		url, err := holderURL(e.Value, w.m.secure)
		if err != nil {
			return err
		}
		changed = w.office.Told(url, e.Revision)
	}
	if !changed {
		return nil
	}
	w.told = time.Time{}
	if !begins {
		w.told = time.Now()
		w.m.counters.told.Add(1)
	}
	w.m.log.Debug("PD leader by watch", zap.Stringer("state", w.office.State()), zap.String("leader", w.office.Holder()), zap.Bool("event", !begins))
	return nil
}

// holderURL returns the URL of the member that a value names.
func holderURL(value []byte, secure bool) (string, error) {
	var holder pdpb.Member
	if err := holder.Unmarshal(value); err != nil {
		return "", fmt.Errorf("the leader's key holds no member: %w", err)
	}
	url, all := pickURL(holder.GetClientUrls(), secure)
	if url == "" || len(all) > maxURLs || holder.GetMemberId() == 0 {
		return "", errLeaderNoURL
	}
	return url, nil
}
