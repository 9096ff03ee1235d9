package pdcluster

import (
	"context"
	"fmt"

	"github.com/tsoring/tso/integration/pdpath"
)

// Member is one PD server of a cluster. Its process may come and go; name,
// addresses and data stay. Methods may be called from any goroutine.
type Member struct {
	Server

	// ClientURL is where the process listens for clients.
	ClientURL string
	// AdvertiseURL is where the cluster sends clients: ClientURL, unless
	// [Config].AdvertiseClientURLs says otherwise.
	AdvertiseURL string
	// PeerURL is where the process listens for other members.
	PeerURL string
	// Path is what lies in front of AdvertiseURL; nil unless Config.Paths was set.
	Path *pdpath.Path
	// DC is the member's dc-location, empty without Local TSO.
	DC string
}

// Restart terminates the process if it is running, starts it again with the
// same data and addresses, and waits until it serves.
func (m *Member) Restart(ctx context.Context) error {
	if err := m.Terminate(); err != nil {
		return err
	}
	if err := m.Launch(); err != nil {
		return err
	}
	return m.WaitServing(ctx)
}

// WaitServing waits until the member answers and knows a leader.
func (m *Member) WaitServing(ctx context.Context) error {
	err := poll(ctx, m.serving)
	if err != nil {
		return fmt.Errorf("pdcluster: %s does not serve: %w", m.Name, err)
	}
	return nil
}

// serving returns nil if the member answers and knows a leader.
func (m *Member) serving(ctx context.Context) error {
	if !m.Running() {
		return permanentError{fmt.Errorf("%s is not running%s", m.Name, m.exitReason())}
	}
	resp, err := m.members(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	if resp.GetLeader() == nil {
		return fmt.Errorf("%s knows no leader", m.Name)
	}
	return nil
}
