package pdcluster

import (
	"context"
	"errors"
	"strings"
)

// Readdress restarts the member behind another address, which it advertises from then
// on: a new Path. The one before is closed, so that nobody reaches the member there any
// more. Path and AdvertiseURL must not be read by others at the same time.
func (m *Member) Readdress(ctx context.Context) error {
	if m.Path == nil {
		return errors.New("pdcluster: Readdress needs Config.Paths")
	}
	if err := m.Terminate(); err != nil {
		return err
	}
	before := m.Path
	if err := m.usePath(); err != nil {
		return err
	}
	before.Close()
	m.mu.Lock()
	for i, arg := range m.args {
		if strings.HasPrefix(arg, advertiseFlag) {
			m.args[i] = advertiseFlag + m.AdvertiseURL
		}
	}
	m.mu.Unlock()
	if err := m.Launch(); err != nil {
		return err
	}
	return m.WaitServing(ctx)
}
