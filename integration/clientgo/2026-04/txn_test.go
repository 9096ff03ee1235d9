package clientgo

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tikv/pd/client/opt"

	"github.com/tsoring/tso/pdcompat/pd2025/txn"
)

// What takes the place of txnkv.NewClient needs PD's etcd, for safe points.
func TestNewClientOfTxnkvByName(t *testing.T) {
	addrs := oneNode.use(t).ClientURLs()
	client, err := txn.NewClient(addrs, txn.WithSafePointKVPrefix("/prefix"),
		txn.WithPDOptions(opt.WithEnableRouterClient(false)))
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	var last uint64
	for range 3 {
		ts, err := client.GetTimestamp(t.Context())
		require.NoError(t, err)
		require.Greater(t, ts, last)
		last = ts
	}
	begun, err := client.Begin()
	require.NoError(t, err)
	require.Greater(t, begun.StartTS(), last)
	require.NoError(t, begun.Rollback())
	stats, ok := txn.Stats(client)
	require.True(t, ok)
	require.EqualValues(t, 5, stats.Timestamps, "and the one that client-go's oracle begins with")
	require.False(t, stats.Upstream)
}
