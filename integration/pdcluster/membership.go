package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// Join adds a member to the running cluster, and waits until it serves. etcd refuses to
// change a cluster whose members have not all been connected for 5 s, whereupon the new
// one ends; it is launched again until then. Not for Local TSO, whose dc-locations are
// decided at the start.
func (c *Cluster) Join(ctx context.Context) (*Member, error) {
	if c.cfg.LocalTSO {
		return nil, errors.New("pdcluster: Join is not for Local TSO")
	}
	m, err := c.addMember()
	if err != nil {
		return nil, err
	}
	err = poll(ctx, func(ctx context.Context) error {
		if err := m.Launch(); err != nil {
			return err
		}
		return m.serving(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %s does not join: %w (%s)", m.Name, err, c.SaveLogs())
	}
	return m, nil
}

// addMember makes a member that joins those that there are.
func (c *Cluster) addMember() (*Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	join := "--join=" + c.members[0].ClientURL
	number := len(c.ports.numbers) / 2
	if err := c.ports.reserve(2); err != nil {
		return nil, err
	}
	m := c.newMember(number)
	m.AdvertiseURL = m.ClientURL
	c.members = append(c.members, m)
	return m, c.prepare(m, number, join)
}

// Remove takes a member out of the cluster for good: PD is told, as soon as etcd allows
// it (see Join), the process ends, and nobody listens at its addresses any more.
func (c *Cluster) Remove(ctx context.Context, m *Member) error {
	err := poll(ctx, func(ctx context.Context) error {
		return c.command(ctx, http.MethodDelete, "members/name/"+url.PathEscape(m.Name))
	})
	if err != nil {
		return err
	}
	if err := m.close(); err != nil {
		return fmt.Errorf("pdcluster: remove %s: %w", m.Name, err)
	}
	if m.Path != nil {
		m.Path.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(c.members, func(other *Member) bool { return other == m })
	return nil
}
