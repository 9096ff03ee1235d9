package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
)

// stage is where a fault happens.
type stage struct {
	cluster *pdcluster.Cluster
	leader  *pdcluster.Member // when the fault begins
	clock   func() int64
	// blocked are the times in which no client could be served, although the
	// cluster served.
	blocked []span
}

// block notes that no client can be served until the function that is returned is
// called.
func (s *stage) block() (end func()) {
	from := s.clock()
	return func() { s.blocked = append(s.blocked, span{from, s.clock()}) }
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heal ends a fault of the leader's path after a while. Without forwarding, nobody
// can be served meanwhile.
func (s *stage) heal(ctx context.Context, d time.Duration, o Options) error {
	end := func() {}
	if !o.Forwarding {
		end = s.block()
	}
	err := wait(ctx, d)
	end()
	s.leader.Path.Heal()
	return err
}

// other returns a member that does not lead.
func (s *stage) other() *pdcluster.Member {
	for _, m := range s.cluster.Members() {
		if m != s.leader {
			return m
		}
	}
	return s.leader
}

func (s *stage) awaitLeader(ctx context.Context) error {
	_, err := s.cluster.WaitLeader(ctx)
	return err
}

func (s *stage) awaitOther(ctx context.Context) error {
	_, err := s.cluster.WaitOtherLeader(ctx, s.leader)
	return err
}

// allocator returns a member that does not lead and serves its own dc-location.
func (s *stage) allocator(ctx context.Context) (*pdcluster.Member, error) {
	leaders, err := s.cluster.AllocatorLeaders(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range s.cluster.Members() {
		if m != s.leader && leaders[m.DC] == m.Name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("faults: no member but the leader serves its dc-location: %v", leaders)
}

// awaitAllocator waits until there is such a member: after a start, PD leaves all
// allocators where they are for up to a minute.
func awaitAllocator(ctx context.Context, s *stage) error {
	return until(ctx, func() (err error) {
		if s.leader, err = s.cluster.WaitLeader(ctx); err == nil {
			_, err = s.allocator(ctx)
		}
		return err
	})
}

// awaitAllocators waits until each dc-location is served again.
func (s *stage) awaitAllocators(ctx context.Context) error {
	return until(ctx, func() error {
		leaders, err := s.cluster.AllocatorLeaders(ctx)
		if err != nil {
			return err
		}
		return s.allServed(ctx, leaders)
	})
}

// until calls try again and again until it returns nil, or returns its error when ctx has
// ended.
func until(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || wait(ctx, calm/10) != nil {
			return err
		}
	}
}

// allServed asks each allocator once.
func (s *stage) allServed(ctx context.Context, leaders map[string]string) error {
	for _, m := range s.cluster.Members() {
		allocator := s.cluster.Member(leaders[m.DC])
		if allocator == nil {
			return fmt.Errorf("faults: %s has no allocator", m.DC)
		}
		if _, err := allocator.Timestamp(ctx, m.DC); err != nil {
			return err
		}
	}
	return nil
}
