package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
	"github.com/tsoring/tso/internal/history"
)

// Kind is a kind of cluster. Rows of one kind can share a cluster.
type Kind int

const (
	// Fast has three members that elect a leader in 2-3 s, and paths in front of them.
	Fast Kind = iota
	// Default has PD's own timing.
	Default
	// Local has Local TSO.
	Local
	// Direct is Fast without paths: what they cost would count, and a process that has been
	// killed would not refuse connections.
	Direct
)

// Config returns how to start a cluster of this kind.
func (k Kind) Config() pdcluster.Config {
	return pdcluster.Config{Members: 3, Fast: k != Default, LocalTSO: k == Local, Paths: k != Direct}
}

// Row is one fault.
type Row struct {
	// Name is what the table calls it.
	Name string
	// Cluster is where it happens.
	Cluster Kind
	// Options are those of the clients.
	Options Options
	// Times is how often it happens in a run; 0 stands for once.
	Times int
	// Target is what our client may add to the floor.
	Target time.Duration
	// Errors are permitted, because the fault lasts longer than a call may.
	Errors bool

	// before, if not nil, brings the cluster to where the fault is to happen.
	before func(ctx context.Context, s *stage) error
	// hit makes the fault happen and returns when it is over, or when it has done
	// what there is to do and clients have to live with it.
	hit func(ctx context.Context, s *stage) error
}

// Hit makes the fault happen once, to a cluster that others use. It returns when the fault
// is over, or has done what there is to do; [Settle] undoes what it may have left.
func (r Row) Hit(ctx context.Context, cluster *pdcluster.Cluster) error {
	leader, err := cluster.WaitLeader(ctx)
	s := &stage{cluster: cluster, leader: leader, clock: history.NewRecorder().Now}
	if err == nil && r.before != nil {
		err = r.before(ctx, s)
	}
	if err == nil {
		err = r.hit(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("faults: %s: %w", r.Name, err)
	}
	return nil
}
