package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
)

// reportInterval is how often PD hears of the store. A new leader does not say where a
// region's leader is until it has heard, so it is much shorter than TiKV's.
const reportInterval = 200 * time.Millisecond

// Store is what PD takes for the only store of a cluster, which holds the only region.
// There need not be any: whoever asks PD for either gets what was given to
// [Cluster.Bootstrap].
type Store struct {
	cluster *Cluster
	meta    *metapb.Store
	region  *metapb.Region
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Bootstrap has PD begin its work for data, with one store and one region, and goes on
// telling whoever leads that both are well. It returns when PD says where the region is.
func (c *Cluster) Bootstrap(ctx context.Context, store *metapb.Store, region *metapb.Region) (*Store, error) {
	leader, err := c.WaitLeader(ctx)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	s := &Store{cluster: c, meta: store, region: region, cancel: cancel}
	err = leader.ask(ctx, func(ctx context.Context, client pdpb.PDClient) error {
		resp, err := client.Bootstrap(ctx, &pdpb.BootstrapRequest{Header: c.header(), Store: store, Region: region})
		return errors.Join(err, headerError(resp.GetHeader()))
	})
	s.running.Go(func() { s.report(life) })
	if err == nil {
		err = poll(ctx, s.known)
	}
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("pdcluster: bootstrap: %w", err)
	}
	return s, nil
}

// Stop ends the reports.
func (s *Store) Stop() {
	s.cancel()
	s.running.Wait()
}

// known returns nil if PD says where the region's leader is.
func (s *Store) known(ctx context.Context) error {
	leader, err := s.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	return leader.ask(ctx, func(ctx context.Context, client pdpb.PDClient) error {
		resp, err := client.GetRegion(ctx, &pdpb.GetRegionRequest{Header: s.cluster.header()})
		if err := errors.Join(err, headerError(resp.GetHeader())); err != nil {
			return err
		}
		if resp.GetLeader().GetStoreId() != s.meta.GetId() {
			return errors.New("PD does not know yet who leads the region")
		}
		return nil
	})
}

// report tells one leader after another, for as long as it listens.
func (s *Store) report(ctx context.Context) {
	for ctx.Err() == nil {
		if leader, err := s.cluster.Leader(ctx); err == nil {
			_ = s.reportTo(ctx, leader) // it leads no more, or cannot hear
		}
		sleep(ctx, reportInterval)
	}
}

func (s *Store) reportTo(ctx context.Context, leader *Member) error {
	conn, err := leader.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	client := pdpb.NewPDClient(conn)
	regions, err := client.RegionHeartbeat(ctx)
	for err == nil {
		err = regions.Send(&pdpb.RegionHeartbeatRequest{Header: s.cluster.header(), Region: s.region, Leader: s.region.GetPeers()[0]})
		if err == nil {
			err = s.reportStore(ctx, client)
		}
		if err == nil && !sleep(ctx, reportInterval) {
			err = ctx.Err()
		}
	}
	return err
}

func (s *Store) reportStore(ctx context.Context, client pdpb.PDClient) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	const size = 1 << 40
	resp, err := client.StoreHeartbeat(ctx, &pdpb.StoreHeartbeatRequest{
		Header: s.cluster.header(),
		Stats:  &pdpb.StoreStats{StoreId: s.meta.GetId(), RegionCount: 1, Capacity: size, Available: size},
	})
	return errors.Join(err, headerError(resp.GetHeader()))
}
