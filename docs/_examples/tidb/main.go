// Command tidb opens a store as TiDB's driver does, on a PD client whose timestamps come from
// tso, and runs a transaction. It needs a TiKV.
//
//	go get github.com/tsoring/tso/pdcompat/pd2025 github.com/tikv/client-go/v2@v2.0.8-0.20260403030309-a888f4238c9b github.com/pingcap/kvproto@v0.0.0-20260408021215-335c5c64af53
//	go mod tidy
//	go build .
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/tikv/client-go/v2/config"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/util"
	"github.com/tikv/pd/client/opt"

	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

func main() {
	store, err := open(context.Background(), os.Args[1:], config.GetGlobalConfig().Security)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	txn, err := store.Begin()
	if err != nil {
		log.Fatal(err)
	}
	if err := txn.Set([]byte("k"), []byte("v")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(txn.StartTS(), txn.Commit(context.Background()))
}

func open(ctx context.Context, addrs []string, security config.Security) (*tikv.KVStore, error) {
	client, err := pd.NewClientWithAPIContext(ctx, pd.NewAPIContextV1(), "tidb-tikv-driver", addrs,
		pd.SecurityOption{
			CAPath:   security.ClusterSSLCA,
			CertPath: security.ClusterSSLCert,
			KeyPath:  security.ClusterSSLKey,
		},
		opt.WithCustomTimeoutOption(3*time.Second))
	if err != nil {
		return nil, err
	}
	// The order in which they are put around each other: tikv.NewKVStore wants the codec outermost.
	codec := tikv.NewCodecPDClient(tikv.ModeTxn, util.NewInterceptedPDClient(client))
	tls, err := security.ToTLSConfig()
	if err != nil {
		return nil, err
	}
	safePoints, err := tikv.NewEtcdSafePointKV(addrs, tls)
	if err != nil {
		return nil, err
	}
	rpc := tikv.NewRPCClient(tikv.WithSecurity(security), tikv.WithCodec(codec.GetCodec()))
	return tikv.NewKVStore(fmt.Sprintf("tikv-%v", client.GetClusterID(ctx)), codec, safePoints, rpc)
}
