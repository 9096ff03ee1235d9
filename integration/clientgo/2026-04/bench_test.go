package clientgo

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tikv/client-go/v2/oracle/oracles"

	"github.com/tsoring/tso/integration/bank"
	"github.com/tsoring/tso/integration/clientgo/2026-04/stack"
	"github.com/tsoring/tso/integration/pdcluster"
)

// Callers that take one timestamp after another from client-go's oracle.
func BenchmarkOracle(b *testing.B) {
	cluster := pdcluster.StartT(b, pdcluster.Config{})
	for _, callers := range []int{64, 512} {
		for _, c := range subjects {
			b.Run(fmt.Sprintf("%d/%s", callers, c.name), func(b *testing.B) {
				client, err := c.open(context.Background(), cluster.ClientURLs())
				require.NoError(b, err)
				defer client.Close()
				o, err := oracles.NewPdOracle(client, &oracles.PDOracleOptions{UpdateInterval: time.Hour})
				require.NoError(b, err)
				defer o.Close()
				b.SetParallelism(callers / runtime.GOMAXPROCS(0))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := o.GetTimestamp(context.Background(), global); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// Transfers between so many accounts that few conflict: two timestamps and two round trips
// to the mock each.
func BenchmarkBank(b *testing.B) {
	cluster := pdcluster.StartT(b, pdcluster.Config{})
	store, err := stack.Serve(b.Context(), cluster)
	require.NoError(b, err)
	defer store.Stop()
	for _, c := range subjects {
		b.Run(c.name, func(b *testing.B) {
			s, err := stack.Open(context.Background(), cluster.ClientURLs(), c.open)
			require.NoError(b, err)
			defer func() { require.NoError(b, s.Close()) }()
			opened, err := bank.Open(context.Background(), s.Bank(), 8192)
			require.NoError(b, err)
			b.ResetTimer()
			r := opened.Start(bank.Load{Tellers: tellers, Transfers: int64(b.N)}).Wait()
			b.StopTimer()
			b.ReportMetric(r.Rate(), "transfers/s")
			b.ReportMetric(float64(r.Quantile(0.5).Microseconds())/1e3, "p50-ms")
			b.ReportMetric(float64(r.Quantile(0.99).Microseconds())/1e3, "p99-ms")
		})
	}
}
