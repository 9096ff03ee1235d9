// Package beside has client-go of April 2026 and this client in one program.
package beside

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/oracle/oracles"
	"github.com/tikv/client-go/v2/txnkv"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/pkg/caller"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// A program links all of client-go that transactions need.
var _ = txnkv.NewClient

// Both clients fetch timestamps from one server, and those of both are in order.
func TestBothClientsInOneProgram(t *testing.T) {
	server := tsotest.New(t)
	upstream, err := pd.NewClient(caller.TestComponent, server.URLs(), pd.SecurityOption{})
	require.NoError(t, err)
	theirs, err := oracles.NewPdOracle(upstream, &oracles.PDOracleOptions{UpdateInterval: 2 * time.Second}) // closes upstream
	require.NoError(t, err)
	defer theirs.Close()
	ours, err := tso.NewClient(server.URLs(), tso.SecurityOption{})
	require.NoError(t, err)
	defer ours.Close()

	ctx := context.Background()
	var last uint64
	for range 10 {
		ts, err := theirs.GetTimestamp(ctx, &oracle.Option{TxnScope: oracle.GlobalTxnScope})
		require.NoError(t, err)
		require.Greater(t, ts, last)
		physical, logical, err := ours.GetTS(ctx)
		require.NoError(t, err)
		last = tso.ComposeTS(physical, logical)
		require.Greater(t, last, ts)
		require.Equal(t, oracle.ComposeTS(physical, logical), last)
	}
}
