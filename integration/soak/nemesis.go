package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
)

// healTimeout bounds how long a cluster may take to be whole again. PD takes seconds.
const healTimeout = time.Minute

// nemesis hurts a cluster, with one fault after another.
type nemesis struct {
	cluster *pdcluster.Cluster
	rng     *rand.Rand
	outages *outages
	faults  []fault
	deck    []fault       // those that are still to come before any comes again
	lasts   time.Duration // of a fault of all members; 0: each as long as it likes

	now    atomic.Pointer[string] // what is under way; nil for nothing
	done   map[string]int         // how often each fault has happened
	missed int                    // faults that could not be made to happen

	died      atomic.Int64 // members that ended without being told to
	disturbed atomic.Int64 // faults during which connections broke as well
}

// next lets the next fault happen, and undoes it. An error means that nothing can be
// concluded: the cluster is not whole again.
func (n *nemesis) next(ctx context.Context) error {
	if len(n.deck) == 0 {
		n.deck = append(n.deck, n.faults...)
		n.rng.Shuffle(len(n.deck), func(i, j int) { n.deck[i], n.deck[j] = n.deck[j], n.deck[i] })
	}
	f := n.deck[0]
	n.deck = n.deck[1:]
	n.now.Store(&f.name)
	defer n.now.Store(nil)
	limited, cancel := context.WithTimeout(ctx, healTimeout)
	defer cancel()
	defer n.disturb(limited)()
	if err := f.do(limited, n); err != nil {
		// PD refuses a transfer while it elects, for one. That the cluster gets well
		// is asked for below.
		n.missed++
	} else {
		n.done[f.name]++
	}
	healing := f.name + ", healing"
	n.now.Store(&healing)
	if err := n.heal(ctx); err != nil {
		return fmt.Errorf("soak: after %s: %w", f.name, err)
	}
	return nil
}

// disturb lets connections break at some time during one fault in three, until the
// function that is returned is called.
func (n *nemesis) disturb(ctx context.Context) (end func()) {
	if n.rng.IntN(3) != 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	after, quietly := n.duration(), n.rng.IntN(2) == 0
	go func() {
		defer close(ended)
		if !wait(ctx, after) {
			return
		}
		n.disturbed.Add(1)
		for _, m := range n.cluster.Members() {
			if quietly {
				m.Path.Silence()
			} else {
				m.Path.Reset()
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// heal undoes whatever a fault has left, and waits until all members serve.
func (n *nemesis) heal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healTimeout)
	defer cancel()
	for _, m := range n.cluster.Members() {
		m.Path.Heal()
		m.Path.SetDelay(0)
		if err := errors.Join(m.Thaw(), m.Launch()); err != nil {
			return err
		}
	}
	if err := n.revive(ctx); err != nil {
		return err
	}
	_, err := n.cluster.WaitLeader(ctx)
	return err
}

// revive waits until all members serve, and starts those again that die meanwhile. PD of
// April 2024 does when a request that it shall forward reaches it before it is up.
func (n *nemesis) revive(ctx context.Context) error {
	members := n.cluster.Members()
	errs := make([]error, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() { errs[i] = n.serving(ctx, m) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// relaunchAfter is how long a member that has died is left alone.
const relaunchAfter = 300 * time.Millisecond

func (n *nemesis) serving(ctx context.Context, m *pdcluster.Member) error {
	for {
		err := m.WaitServing(ctx)
		if err == nil || m.Running() || !wait(ctx, relaunchAfter) {
			return err
		}
		n.died.Add(1)
		if err := m.Launch(); err != nil {
			return err
		}
	}
}

// follower returns a member that does not lead.
func (n *nemesis) follower(ctx context.Context) (*pdcluster.Member, error) {
	leader, err := n.cluster.WaitLeader(ctx)
	if err != nil {
		return nil, err
	}
	members := n.cluster.Members()
	for i := n.rng.IntN(len(members)); ; i++ {
		if m := members[i%len(members)]; m != leader {
			return m, nil
		}
	}
}

func (n *nemesis) duration() time.Duration { return between(n.rng, lastsMin, lastsMax) }

// last lets a fault last.
func (n *nemesis) last(ctx context.Context) {
	d := n.lasts
	if d == 0 {
		d = n.duration()
	}
	wait(ctx, d)
}

// cut notes that a path is cut; any path, since the leader may move behind it.
func (n *nemesis) cut(all bool) (end func()) { return n.outages.cut(all) }
