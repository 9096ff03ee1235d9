package txn

import (
	"context"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/stretchr/testify/require"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv"

	pd "github.com/tsoring/tso/pdcompat/pd2022"
	"github.com/tsoring/tso/tsotest"
)

// A program may take either.
var _ func([]string, ...ClientOpt) (*txnkv.Client, error) = NewClient

func TestTimestampsOfTransactionsAreOurs(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	client, err := NewClient(server.URLs())
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	require.IsType(t, &tikv.CodecPDClient{}, client.GetPDClient())
	var last uint64
	for range 3 {
		ts, err := client.GetTimestamp(context.Background())
		require.NoError(t, err)
		require.Greater(t, ts, last)
		last = ts
	}
	txn, err := client.Begin()
	require.NoError(t, err)
	require.Greater(t, txn.StartTS(), last)
	require.NoError(t, txn.Rollback())
	stats, ok := Stats(client)
	require.True(t, ok)
	require.EqualValues(t, 5, stats.Timestamps, "and the one that client-go's oracle begins with")
	require.Zero(t, stats.UpstreamCalls)
	require.EqualValues(t, 1, server.Stats().Streams)
	own, err := txnkv.NewClient(server.URLs())
	require.NoError(t, err)
	defer func() { require.NoError(t, own.Close()) }()
	_, ok = Stats(own)
	require.False(t, ok)
}

func TestOptionsAreRead(t *testing.T) {
	t.Parallel()
	var o options
	for _, set := range []ClientOpt{
		WithKeyspace("k"), WithAPIVersion(kvrpcpb.APIVersion_V2),
		WithPDOptions(pd.WithMaxErrorRetry(1)), WithPDOptions(pd.WithMaxErrorRetry(2)),
	} {
		set(&o)
	}
	require.Equal(t, "k", o.keyspace)
	require.Equal(t, kvrpcpb.APIVersion_V2, o.apiVersion)
	require.Len(t, o.pd, 2)
}

func TestNothingOfAClientThatFailsStays(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	for text, option := range map[string]ClientOpt{
		"unknown api version": WithAPIVersion(kvrpcpb.APIVersion_V1TTL),
		"Unimplemented":       WithAPIVersion(kvrpcpb.APIVersion_V2), // LoadKeyspace
	} {
		_, err := NewClient(server.URLs(), option)
		require.ErrorContains(t, err, text)
	}
	require.NotZero(t, server.Stats().Conns)
	require.Eventually(t, func() bool { return server.Stats().Members[0].OpenConns == 0 }, 10*time.Second, time.Millisecond)
	_, err := NewClient([]string{"127.0.0.1:1"}, WithPDOptions(pd.WithMaxErrorRetry(1)))
	require.Error(t, err)
}
