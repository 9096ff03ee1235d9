// Package stack runs client-go's transactions without a TiKV: a real PD is asked for regions,
// stores, GC states and timestamps, and client-go's own mock of TiKV, in this process, keeps
// the data.
//
//	store, err := stack.Serve(ctx, cluster) // once for a cluster
//	defer store.Stop()
//	s, err := stack.Open(ctx, cluster.ClientURLs(), stack.Upstream)
//	defer s.Close()
//
// Several stacks can share a cluster. Each has data of its own.
package stack

import (
	"context"
	"errors"
	"fmt"

	"github.com/tikv/client-go/v2/testutils"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/util"
	pd "github.com/tikv/pd/client"

	"github.com/tsoring/tso/integration/bank"
	"github.com/tsoring/tso/integration/pdcluster"
)

// OpenPD connects to a PD, for as long as ctx lasts.
type OpenPD func(ctx context.Context, addrs []string) (pd.Client, error)

// Stack is a client of transactions, put together as [txnkv.NewClient] does it.
type Stack struct {
	*txnkv.Client
	// PD is what [OpenPD] returned.
	PD pd.Client
	// Taken has every timestamp that client-go took.
	Taken *bank.Tally
}

// Serve has a cluster's PD hand out the store and the region that every mock begins with.
func Serve(ctx context.Context, cluster *pdcluster.Cluster) (*pdcluster.Store, error) {
	client, mock, _, err := testutils.NewMockTiKV("", nil)
	if err != nil {
		return nil, err
	}
	storeID, _, regionID := testutils.BootstrapWithSingleStore(mock)
	region, _ := mock.GetRegion(regionID)
	if err := client.Close(); err != nil {
		return nil, err
	}
	return cluster.Bootstrap(ctx, mock.GetStore(storeID), region)
}

// Open puts a stack together on a PD that has been told of the store, see [Serve]. PD's
// client belongs to it, and lives until Close.
func Open(ctx context.Context, addrs []string, open OpenPD) (*Stack, error) {
	client, err := open(context.WithoutCancel(ctx), addrs)
	if err != nil {
		return nil, fmt.Errorf("stack: PD's client: %w", err)
	}
	s := &Stack{PD: client, Taken: bank.NewTally()}
	store, err := s.store(ctx, addrs)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("stack: %w", err)
	}
	s.Client = &txnkv.Client{KVStore: store}
	return s, nil
}

func (s *Stack) store(ctx context.Context, addrs []string) (*tikv.KVStore, error) {
	rpc, mock, _, err := testutils.NewMockTiKV("", nil)
	if err != nil {
		return nil, err
	}
	testutils.BootstrapWithSingleStore(mock)
	safePoints, err := tikv.NewEtcdSafePointKV(addrs, nil)
	if err != nil {
		return nil, errors.Join(err, rpc.Close())
	}
	client := tikv.NewCodecPDClient(tikv.ModeTxn, util.NewInterceptedPDClient(Counted(s.PD, s.Taken)))
	name := fmt.Sprintf("tikv-%v", client.GetClusterID(ctx))
	store, err := tikv.NewKVStore(name, client, safePoints, rpc)
	if err != nil {
		return nil, errors.Join(err, rpc.Close(), safePoints.Close())
	}
	return store, nil
}
