package pdcluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/pingcap/kvproto/pkg/metapb"
)

// BootstrapWithoutStore is Bootstrap with a store and a region of which PD never hears again.
// PD knows no keyspaces before.
func (c *Cluster) BootstrapWithoutStore(ctx context.Context) error {
	s, err := c.Bootstrap(ctx, &metapb.Store{Id: 1, Address: "store1"}, &metapb.Region{
		Id: 3, RegionEpoch: &metapb.RegionEpoch{ConfVer: 1, Version: 1}, Peers: []*metapb.Peer{{Id: 2, StoreId: 1}},
	})
	if err == nil {
		s.Stop()
	}
	return err
}

// CreateKeyspace adds a keyspace to a cluster that has been bootstrapped, and returns its
// id. It is in the default keyspace group. A cluster in PD mode has no groups, and takes
// no part of it back when it changes to API mode.
func (c *Cluster) CreateKeyspace(ctx context.Context, name string) (id uint32, err error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return 0, fmt.Errorf("pdcluster: %w", err)
	}
	answer, err := c.send(ctx, http.MethodPost, "/pd/api/v2/keyspaces", body)
	if err != nil {
		return 0, err
	}
	var keyspace struct {
		ID uint32 `json:"id"`
	}
	if err := json.Unmarshal(answer, &keyspace); err != nil {
		return 0, fmt.Errorf("pdcluster: keyspace %s: %w", name, err)
	}
	return keyspace.ID, nil
}

// tooFewServices is what PD says of a group until it has shared out the services, which
// it does once a second.
const tooFewServices = "not enough replicas"

// SplitGroup moves keyspaces out of a keyspace group, into a new one that the same TSO
// services serve, and waits until one does. Its timestamps go on from those of the old one.
// A group needs two services.
func (c *Cluster) SplitGroup(ctx context.Context, from, to uint32, keyspaces ...uint32) error {
	body, err := json.Marshal(map[string]any{"new-id": to, "keyspaces": keyspaces})
	if err != nil {
		return fmt.Errorf("pdcluster: %w", err)
	}
	path := fmt.Sprintf("/pd/api/v2/tso/keyspace-groups/%d/split", from)
	err = poll(ctx, func(ctx context.Context) error {
		_, err := c.send(ctx, http.MethodPost, path, body)
		if err != nil && !strings.Contains(err.Error(), tooFewServices) {
			return permanentError{err}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, keyspace := range keyspaces {
		if _, err := c.WaitPrimary(ctx, keyspace, to); err != nil {
			return err
		}
	}
	return nil
}

// Reset puts the timestamps of the default keyspace group, or of PD, forward to t.
func (c *Cluster) Reset(ctx context.Context, t uint64) error {
	body, err := json.Marshal(map[string]any{"tso": strconv.FormatUint(t, 10), "force-use-larger": true})
	if err != nil {
		return fmt.Errorf("pdcluster: %w", err)
	}
	if mode, _, err := c.Mode(ctx); err != nil || mode == PDMode {
		if err == nil {
			_, err = c.send(ctx, http.MethodPost, "/pd/api/v1/admin/reset-ts", body)
		}
		return err
	}
	primary, err := c.WaitPrimary(ctx, 0, 0)
	if err != nil {
		return err
	}
	_, err = c.sendTo(ctx, http.MethodPost, primary.URL+"/tso/api/v1/admin/reset-ts", body)
	return err
}
