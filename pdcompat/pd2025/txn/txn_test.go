package txn

import (
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/stretchr/testify/require"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/pd/client/opt"

	"github.com/tsoring/tso/tsotest"
)

// A program may take either.
var _ func([]string, ...ClientOpt) (*txnkv.Client, error) = NewClient

func TestOptionsAreRead(t *testing.T) {
	t.Parallel()
	var o options
	for _, set := range []ClientOpt{
		WithKeyspace("k"), WithAPIVersion(kvrpcpb.APIVersion_V2), WithSafePointKVPrefix("/p"),
		WithPDOptions(opt.WithMaxErrorRetry(1)), WithPDOptions(opt.WithMaxErrorRetry(2)),
	} {
		set(&o)
	}
	require.Equal(t, "k", o.keyspace)
	require.Equal(t, kvrpcpb.APIVersion_V2, o.apiVersion)
	require.Equal(t, "/p", o.safePointPrefix)
	require.Len(t, o.pd, 2)
}

func TestNothingOfAClientThatFailsStays(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	for text, option := range map[string]ClientOpt{
		"unknown api version": WithAPIVersion(kvrpcpb.APIVersion_V1TTL),
		"Unimplemented":       WithAPIVersion(kvrpcpb.APIVersion_V2), // LoadKeyspace
	} {
		_, err := NewClient(server.URLs(), option, WithPDOptions(opt.WithEnableRouterClient(false)))
		require.ErrorContains(t, err, text)
	}
	require.NotZero(t, server.Stats().Conns)
	require.Eventually(t, func() bool { return server.Stats().Members[0].OpenConns == 0 }, 10*time.Second, time.Millisecond)
	_, err := NewClient([]string{"127.0.0.1:1"}, WithPDOptions(opt.WithMaxErrorRetry(1)))
	require.Error(t, err)
}
