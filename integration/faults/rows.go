package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// What our client may add, at most, where a leader hands over in good order, and
// where it has to be found out that there is none; or that the way to it is broken.
const (
	targetHandOver = 20 * time.Millisecond
	targetFound    = 50 * time.Millisecond
	targetAround   = 400 * time.Millisecond
	targetReplaced = 300 * time.Millisecond
	targetReset    = 10 * time.Millisecond
	targetHeard    = 150 * time.Millisecond
)

// watchedFor is how long a fault without an end is looked at before anybody is
// declared not to recover.
const watchedFor = 15 * time.Second

// NoFault lets nothing happen for a while: what the machine and PD add to calls by
// themselves, below which no other row can come.
func NoFault(d time.Duration) Row {
	return Row{Name: fmt.Sprintf("no fault for %v", d), Target: targetHandOver, hit: func(ctx context.Context, _ *stage) error {
		return wait(ctx, d)
	}}
}

// Relayed is NoFault with clients that cannot reach the leader: what the members add that
// pass requests on, below which rows with forwarding cannot come.
func Relayed(d time.Duration) Row {
	row := NoFault(d)
	row.Name = "relayed, " + row.Name
	row.before = func(ctx context.Context, s *stage) error {
		leader, err := s.cluster.WaitLeader(ctx)
		if err == nil {
			leader.Path.Refuse()
		}
		return err
	}
	return row.With("forwarding", Options{Forwarding: true})
}

// LeaderTransferred hands the office to another member, on request.
func LeaderTransferred() Row {
	return Row{Name: "leader transfer", Times: 3, Target: targetHandOver, hit: func(ctx context.Context, s *stage) error {
		if err := s.cluster.TransferLeader(ctx, s.other().Name); err != nil {
			return err
		}
		return s.awaitLeader(ctx)
	}}
}

// LeaderResigned makes the leader give up its office, on request.
func LeaderResigned() Row {
	return Row{Name: "leader resigns", Times: 3, Target: targetHandOver, hit: func(ctx context.Context, s *stage) error {
		if err := s.cluster.Resign(ctx); err != nil {
			return err
		}
		return s.awaitLeader(ctx)
	}}
}

// LeaderTerminated ends the leader in good order.
func LeaderTerminated() Row {
	return Row{Name: "SIGTERM of the leader", Target: targetHandOver, hit: func(ctx context.Context, s *stage) error {
		if err := s.leader.Terminate(); err != nil {
			return err
		}
		return s.awaitOther(ctx)
	}}
}

// LeaderKilled ends the leader at once.
func LeaderKilled() Row {
	return Row{Name: "kill -9 of the leader", Target: targetFound, hit: func(ctx context.Context, s *stage) error {
		if err := s.leader.Kill(); err != nil {
			return err
		}
		return s.awaitOther(ctx)
	}}
}

// LeaderFrozen stops the leader's process for a while.
func LeaderFrozen(d time.Duration) Row {
	return Row{Name: fmt.Sprintf("leader frozen %v", d), Target: targetFound, hit: func(ctx context.Context, s *stage) error {
		if err := s.leader.Freeze(); err != nil {
			return err
		}
		waited := wait(ctx, d)
		if err := errors.Join(waited, s.leader.Thaw()); err != nil {
			return err
		}
		return s.awaitLeader(ctx)
	}}
}

// AllRestarted kills all members and starts them again.
func AllRestarted() Row {
	return Row{Name: "all members restarted", Target: targetFound, hit: func(ctx context.Context, s *stage) error {
		return s.cluster.RestartAll(ctx)
	}}
}

// AllReaddressed restarts one member after the other behind another address, until no
// address is left of those that clients began with. After each the leader changes, which
// is when clients ask who the members are: they do so once a minute otherwise.
func AllReaddressed() Row {
	return Row{Name: "all members readdressed, one by one", Target: targetFound, hit: func(ctx context.Context, s *stage) error {
		for _, m := range s.cluster.Members() {
			if err := m.Readdress(ctx); err != nil {
				return err
			}
			if err := s.awaitLeader(ctx); err != nil {
				return err
			}
			if err := errors.Join(s.cluster.Resign(ctx), s.awaitLeader(ctx)); err != nil {
				return err
			}
		}
		return nil
	}}
}

// PathHeld makes the way to the leader a black hole for a while.
func PathHeld(d time.Duration, o Options) Row {
	return Row{
		Name: fmt.Sprintf("path to the leader black-holed %v", d), Options: o, Target: aroundOr(o, targetAround, targetFound),
		hit: func(ctx context.Context, s *stage) error {
			s.leader.Path.Hold()
			return s.heal(ctx, d, o)
		},
	}
}

// PathRefused resets connections to the leader, and refuses new ones, for a while.
func PathRefused(d time.Duration, o Options) Row {
	return Row{
		Name: fmt.Sprintf("path to the leader reset, refused %v", d), Options: o, Target: aroundOr(o, targetReset, targetFound),
		hit: func(ctx context.Context, s *stage) error {
			if o.Forwarding {
				s.leader.Path.Refuse() // a follower that forwards still connects
			} else {
				s.leader.Path.Shut()
			}
			return s.heal(ctx, d, o)
		},
	}
}

// PathDropped has the way to the leader drop packets for a while, those of new connections too:
// nothing tells clients when it is back. It lasts longer each time, as kernels repeat connects
// each second, and it should not always end in step with that. Members that pass requests on
// have the connections that they need for that, as they cannot make them then.
func PathDropped(d time.Duration, o Options) Row {
	const times = 4
	longer := time.Duration(0)
	row := Row{
		Name:  fmt.Sprintf("path to the leader drops packets %v", d),
		Times: times, Options: o, Target: aroundOr(o, targetAround, targetHeard),
		hit: func(ctx context.Context, s *stage) error {
			s.leader.Path.Drop()
			lasts := d + longer
			longer += time.Second / times
			return s.heal(ctx, lasts, o)
		},
	}
	if o.Forwarding {
		row.before = relayOnce
	}
	return row
}

// relayOnce has each member pass a request on to the leader.
func relayOnce(ctx context.Context, s *stage) error {
	leader, err := s.cluster.WaitLeader(ctx)
	if err != nil {
		return err
	}
	for _, m := range s.cluster.Members() {
		if m == leader {
			continue
		}
		end, err := m.Relay(ctx, leader)
		if err != nil {
			return err
		}
		end()
	}
	return nil
}

// aroundOr returns what may be added where there is a way around, or not.
func aroundOr(o Options, around, not time.Duration) time.Duration {
	if o.Forwarding {
		return around
	}
	return not
}

// ConnectionDead takes the connections that there are and leaves new ones alone, as
// a lost NAT entry does.
func ConnectionDead() Row {
	return Row{Name: "existing connections dead, new ones fine", Target: targetReplaced, hit: func(_ context.Context, s *stage) error {
		for _, m := range s.cluster.Members() {
			m.Path.Silence()
		}
		return nil
	}}
}

// EverythingReset breaks all connections, once.
func EverythingReset() Row {
	return Row{Name: "one RST of everything", Times: 3, Target: targetReset, hit: func(_ context.Context, s *stage) error {
		for _, m := range s.cluster.Members() {
			m.Path.Reset()
		}
		return nil
	}}
}

// With returns the row with other options, which its name tells.
func (r Row) With(name string, o Options) Row {
	r.Name, r.Options = name+": "+r.Name, o
	return r
}

// On returns the row on another kind of cluster, which its name tells.
func (r Row) On(k Kind) Row {
	r.Cluster = k
	switch k {
	case Default:
		r.Name += ", PD's own timing"
	case Local:
		r.Name = "Local TSO: " + r.Name
		r.Options.LocalTSO = true
	case Fast, Direct:
	}
	return r
}

// OtherAllocatorKilled kills a member that serves its dc-location and does not lead.
func OtherAllocatorKilled() Row {
	row := Row{Name: "another DC's leader killed", Target: targetFound, before: awaitAllocator, hit: func(ctx context.Context, s *stage) error {
		victim, err := s.allocator(ctx)
		if err != nil {
			return err
		}
		if err := victim.Kill(); err != nil {
			return err
		}
		// Until PD has put another in its place, which the floor shows.
		return s.awaitAllocators(ctx)
	}}
	return row.On(Local)
}

// Clients returns which of the given clients a row is for: PD's own has no Local TSO
// any more.
func (r Row) Clients(of []string) []string {
	if !r.Options.LocalTSO {
		return of
	}
	return slices.DeleteFunc(slices.Clone(of), func(name string) bool { return name == Upstream })
}
