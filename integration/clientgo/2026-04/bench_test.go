package clientgo

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tikv/client-go/v2/oracle/oracles"

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
