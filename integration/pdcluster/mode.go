package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Mode says who serves timestamps in a cluster.
type Mode string

const (
	// PDMode is that the PD leader does. The zero value stands for it.
	PDMode Mode = "pd"
	// APIMode is that TSO services do, see [TSOService]. A PD leader that is asked
	// passes the question on to the one that serves the default keyspace group.
	APIMode Mode = "api"
)

// command returns what a PD server's command line begins with.
func (m Mode) command() []string {
	if m == APIMode {
		return []string{"services", "api"}
	}
	return nil
}

// service returns what PD calls the mode.
func (m Mode) service() pdpb.ServiceMode {
	if m == APIMode {
		return pdpb.ServiceMode_API_SVC_MODE
	}
	return pdpb.ServiceMode_PD_SVC_MODE
}

// SetMode restarts the whole cluster in a mode, with the same data and addresses, and
// waits until it serves. All processes are killed at the same time, before the first
// starts again, so that nobody serves beside those of the other mode. (To terminate them
// takes longer: up to 5 s where a TSO service has clients, and 10 s for a member that
// finds no quorum any more.)
func (c *Cluster) SetMode(ctx context.Context, mode Mode) error {
	if mode == APIMode && c.cfg.TSOServices == 0 {
		return errNoServices
	}
	members := c.Members()
	if err := errors.Join(each(c.services, (*TSOService).Kill), each(members, (*Member).Kill)); err != nil {
		return err
	}
	for _, m := range members {
		m.setCommand(mode.command())
	}
	if err := c.launch(mode); err != nil {
		return err
	}
	return c.WaitServing(ctx)
}

// SetMode restarts the member alone in a mode, and waits until it answers and knows a
// leader. The cluster is in the mode of its leader. But a TSO service that is up serves as
// soon as pd1 is in API mode, and until it ends, whatever the leader does: whoever changes
// one member after the other has to see to it that only one of the two is there.
func (m *Member) SetMode(ctx context.Context, mode Mode) error {
	if err := m.Terminate(); err != nil {
		return err
	}
	m.setCommand(mode.command())
	if err := m.Launch(); err != nil {
		return err
	}
	return m.WaitServing(ctx)
}

// Mode returns the mode that the leader says it is in, and the addresses of TSO
// services that it tells clients.
func (c *Cluster) Mode(ctx context.Context) (mode Mode, services []string, err error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return "", nil, err
	}
	return leader.Mode(ctx)
}

// Mode returns the mode that the member says it is in, and the addresses of TSO
// services that it tells clients.
func (m *Member) Mode(ctx context.Context) (mode Mode, services []string, err error) {
	err = m.ask(ctx, func(ctx context.Context, client pdpb.PDClient) error {
		resp, err := client.GetClusterInfo(ctx, &pdpb.GetClusterInfoRequest{})
		if err != nil {
			return err
		}
		for _, known := range []Mode{PDMode, APIMode} {
			if slices.Equal(resp.GetServiceModes(), []pdpb.ServiceMode{known.service()}) {
				mode = known
			}
		}
		services, err = tsoURLs(resp)
		if mode == "" {
			return fmt.Errorf("unknown modes in %v", resp)
		}
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("pdcluster: mode of %s: %w", m.Name, err)
	}
	return mode, services, nil
}

// tsoURLs returns field 3 of the answer, tso_urls. Modules that use this package may have a
// kvproto that does not know it yet.
func tsoURLs(resp *pdpb.GetClusterInfoResponse) ([]string, error) {
	const field = 3
	raw, err := resp.Marshal()
	if err != nil {
		return nil, err
	}
	var urls []string
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, raw[n:])
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		if number == field {
			url, _ := protowire.ConsumeBytes(raw[n:])
			urls = append(urls, string(url))
		}
		raw = raw[n+size:]
	}
	return urls, nil
}

// each calls do for all at the same time.
func each[T any](all []T, do func(T) error) error {
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, one := range all {
		running.Go(func() { errs[i] = do(one) })
	}
	running.Wait()
	return errors.Join(errs...)
}
