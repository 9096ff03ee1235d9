package soak

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
)

// fault is something that happens to a cluster. What it leaves is undone after it.
type fault struct {
	name string
	do   func(ctx context.Context, n *nemesis) error
}

// How long a fault lasts that lasts for a while: elections take 2-3 s, and no call shall
// need its whole budget.
const (
	lastsMin, lastsMax = 200 * time.Millisecond, 6 * time.Second
	delayMax           = 30 * time.Millisecond
)

// Faults returns the names of all faults.
func Faults() []string {
	var names []string
	for _, f := range allFaults() {
		names = append(names, f.name)
	}
	return names
}

func allFaults() []fault {
	return []fault{
		{"leader transferred", transferred},
		{"leader resigns", func(ctx context.Context, n *nemesis) error { return n.cluster.Resign(ctx) }},
		{"leader terminated", toLeader(terminated)},
		{"leader killed", toLeader(killed)},
		{"leader frozen", toLeader(frozen)},
		{"follower terminated", toFollower(terminated)},
		{"follower killed", toFollower(killed)},
		{"follower frozen", toFollower(frozen)},
		{"all restarted", allRestarted},
		{"restarted one by one", rolled},
		{"path to leader black-holed", toLeader(held)},
		{"path to leader refused", toLeader(refused)},
		{"path to leader flaps", toLeader(flapping)},
		{"path to follower black-holed", toFollower(held)},
		{"path to follower refused", toFollower(refused)},
		{"all paths black-holed", toAll(held)},
		{"connections to leader dead", toLeader(dead)},
		{"all connections dead", toAll(dead)},
		{"all connections reset", toAll(reset)},
		{"all paths slow", toAll(slow)},
	}
}

// hit is a fault of one member.
type hit func(ctx context.Context, n *nemesis, m *pdcluster.Member) error

func toLeader(h hit) func(context.Context, *nemesis) error {
	return func(ctx context.Context, n *nemesis) error {
		leader, err := n.cluster.WaitLeader(ctx)
		if err != nil {
			return err
		}
		return h(ctx, n, leader)
	}
}

func toFollower(h hit) func(context.Context, *nemesis) error {
	return func(ctx context.Context, n *nemesis) error {
		m, err := n.follower(ctx)
		if err != nil {
			return err
		}
		return h(ctx, n, m)
	}
}

// toAll hits all members at the same time, for equally long.
func toAll(h hit) func(context.Context, *nemesis) error {
	return func(ctx context.Context, n *nemesis) error {
		n.lasts = n.duration()
		defer func() { n.lasts = 0 }()
		members := n.cluster.Members()
		errs := make(chan error, len(members))
		for _, m := range members {
			go func() { errs <- h(ctx, n, m) }()
		}
		var all []error
		for range members {
			all = append(all, <-errs)
		}
		return errors.Join(all...)
	}
}

func transferred(ctx context.Context, n *nemesis) error {
	m, err := n.follower(ctx)
	if err != nil {
		return err
	}
	return n.cluster.TransferLeader(ctx, m.Name)
}

func terminated(ctx context.Context, n *nemesis, m *pdcluster.Member) error {
	err := m.Terminate()
	n.last(ctx)
	return err
}

func killed(ctx context.Context, n *nemesis, m *pdcluster.Member) error {
	err := m.Kill()
	n.last(ctx)
	return err
}

func frozen(ctx context.Context, n *nemesis, m *pdcluster.Member) error {
	err := m.Freeze()
	n.last(ctx)
	return errors.Join(err, m.Thaw())
}

// allRestarted kills all members at the same time and starts them again.
func allRestarted(ctx context.Context, n *nemesis) error {
	err := toAll(func(_ context.Context, _ *nemesis, m *pdcluster.Member) error { return m.Kill() })(ctx, n)
	for _, m := range n.cluster.Members() {
		err = errors.Join(err, m.Launch())
	}
	return err
}

// rolled restarts one member after another, as an upgrade does.
func rolled(ctx context.Context, n *nemesis) error {
	for _, m := range n.cluster.Members() {
		if err := m.Restart(ctx); err != nil {
			return fmt.Errorf("restart of %s: %w", m.Name, err)
		}
	}
	return nil
}

func held(ctx context.Context, n *nemesis, m *pdcluster.Member) error {
	defer n.cut(n.lasts > 0)()
	m.Path.Hold()
	n.last(ctx)
	m.Path.Heal()
	return nil
}

func refused(ctx context.Context, n *nemesis, m *pdcluster.Member) error {
	defer n.cut(false)()
	m.Path.Refuse()
	n.last(ctx)
	m.Path.Heal()
	return nil
}

// flapping opens and shuts a path many times.
func flapping(ctx context.Context, n *nemesis, m *pdcluster.Member) error {
	defer n.cut(false)()
	for range 10 {
		m.Path.Refuse()
		shut := wait(ctx, between(n.rng, 0, 300*time.Millisecond))
		m.Path.Heal()
		if !shut || !wait(ctx, between(n.rng, 0, 300*time.Millisecond)) {
			break
		}
	}
	return nil
}

func dead(_ context.Context, _ *nemesis, m *pdcluster.Member) error {
	m.Path.Silence()
	return nil
}

func reset(_ context.Context, _ *nemesis, m *pdcluster.Member) error {
	m.Path.Reset()
	return nil
}

func slow(ctx context.Context, n *nemesis, m *pdcluster.Member) error {
	m.Path.SetDelay(n.lasts * time.Duration(delayMax) / time.Duration(lastsMax))
	n.last(ctx)
	m.Path.SetDelay(0)
	return nil
}
