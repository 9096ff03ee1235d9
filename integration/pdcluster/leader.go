package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pingcap/kvproto/pkg/pdpb"
)

// ErrNoLeader is returned when no member says that it leads.
var ErrNoLeader = errors.New("pdcluster: no member says that it leads")

// Leader returns the member that says that it leads. What the others believe
// does not count: they go on naming a leader that has died until its lease is
// over.
func (c *Cluster) Leader(ctx context.Context) (*Member, error) {
	leader, _, err := c.leader(ctx)
	return leader, err
}

// leader asks all members at once, so that a frozen one costs no time as long as
// another leads.
func (c *Cluster) leader(ctx context.Context) (*Member, *pdpb.GetMembersResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	type claim struct {
		member *Member
		resp   *pdpb.GetMembersResponse
	}
	members := c.Members()
	claims := make(chan claim, len(members))
	for _, m := range members {
		all.Go(func() {
			resp, err := m.members(ctx)
			if err != nil || resp.GetLeader().GetName() != m.Name {
				resp = nil
			}
			claims <- claim{m, resp}
		})
	}
	for range members {
		if claim := <-claims; claim.resp != nil {
			return claim.member, claim.resp, nil
		}
	}
	return nil, nil, ErrNoLeader
}

// WaitLeader waits until a leader serves a global timestamp, and returns it. After
// Resign and TransferLeader it is in most cases another one, and the one asked for,
// but need not be: a member that has campaigned three times since it last passed the
// office on passes it on once more, to whichever member PD picks, the one before
// included.
func (c *Cluster) WaitLeader(ctx context.Context) (*Member, error) {
	return c.waitLeader(ctx, func(*Member) bool { return true })
}

// WaitOtherLeader waits until another member than old serves as leader, and
// returns it.
func (c *Cluster) WaitOtherLeader(ctx context.Context, old *Member) (*Member, error) {
	return c.waitLeader(ctx, func(m *Member) bool { return m != old })
}

// waitLeader polls each member on its own, so that one that is frozen does not
// hold up the news of another.
func (c *Cluster) waitLeader(ctx context.Context, wanted func(*Member) bool) (*Member, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	type outcome struct {
		leader *Member
		err    error
	}
	members := c.Members()
	outcomes := make(chan outcome, len(members))
	for _, m := range members {
		all.Go(func() {
			err := poll(ctx, func(ctx context.Context) error { return m.leads(ctx, wanted) })
			outcomes <- outcome{m, err}
		})
	}
	errs := []error{errors.New("pdcluster: wait for a leader")}
	for range members {
		o := <-outcomes
		if o.err == nil {
			return o.leader, nil
		}
		errs = append(errs, o.err)
	}
	return nil, errors.Join(errs...)
}

// leads returns nil if the member is wanted, says that it leads, and serves a
// global timestamp. It must lead etcd too: a PD leader that has lost that serves for
// some 50 ms more, until it notices.
func (m *Member) leads(ctx context.Context, wanted func(*Member) bool) error {
	resp, err := m.members(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", m.Name, err)
	case resp.GetLeader().GetName() != m.Name:
		return fmt.Errorf("%s does not say that it leads", m.Name)
	case resp.GetEtcdLeader().GetName() != m.Name:
		return fmt.Errorf("%s leads, and etcd is led by %q", m.Name, resp.GetEtcdLeader().GetName())
	case !wanted(m):
		return fmt.Errorf("%s still leads", m.Name)
	}
	_, err = m.Timestamp(ctx, "")
	return err
}

// AllocatorLeaders returns, by dc-location, the name of the member that serves
// its local timestamps, as the leader sees it.
func (c *Cluster) AllocatorLeaders(ctx context.Context) (map[string]string, error) {
	_, resp, err := c.leader(ctx)
	if err != nil {
		return nil, err
	}
	leaders := make(map[string]string)
	for dc, m := range resp.GetTsoAllocatorLeaders() {
		leaders[dc] = m.GetName()
	}
	return leaders, nil
}

// WaitAllocator waits until a member serves the local timestamps of dc. After a
// start all allocators are at the leader, and for up to a minute they stay there;
// ctx should leave room for that.
func (c *Cluster) WaitAllocator(ctx context.Context, dc, member string) error {
	m := c.Member(member)
	if m == nil {
		return fmt.Errorf("pdcluster: no member %q", member)
	}
	err := poll(ctx, func(ctx context.Context) error {
		leaders, err := c.AllocatorLeaders(ctx)
		if err == nil && leaders[dc] != member {
			err = fmt.Errorf("%s is served by %q", dc, leaders[dc])
		}
		if err == nil {
			_, err = m.Timestamp(ctx, dc)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pdcluster: wait for %s to move to %s: %w", dc, member, err)
	}
	return nil
}

// timestamps returns nil if a timestamp can be had from the leader and from
// every allocator that there should be.
func (c *Cluster) timestamps(ctx context.Context) error {
	leader, resp, err := c.leader(ctx)
	if err != nil {
		return err
	}
	for _, m := range c.Members() {
		if m.DC == "" {
			continue
		}
		allocator := c.Member(resp.GetTsoAllocatorLeaders()[m.DC].GetName())
		if allocator == nil {
			return fmt.Errorf("%s has no allocator yet", m.DC)
		}
		if _, err := allocator.Timestamp(ctx, m.DC); err != nil {
			return err
		}
	}
	_, err = leader.Timestamp(ctx, "")
	return err
}
