// Command transactions-v2.0.7 runs transactions of client-go v2.0.7 on timestamps from tso,
// where there is no TiKV: client-go's own mock of one, in this process, keeps the data and
// says where it is.
//
//	go get github.com/tsoring/tso/pdcompat/pd2022 github.com/tikv/client-go/v2@v2.0.7
//	go mod tidy
//	go run . 127.0.0.1:2379
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"

	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/testutils"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/util"

	"github.com/tsoring/tso/pdcompat"
	pd "github.com/tsoring/tso/pdcompat/pd2022"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addrs []string) error {
	rpc, cluster, regions, err := testutils.NewMockTiKV("", nil)
	if err != nil {
		return err
	}
	testutils.BootstrapWithSingleStore(cluster)
	client, err := pd.Wrap(regions, addrs, pd.SecurityOption{}) // regions of the mock, timestamps of PD
	if err != nil {
		return err
	}
	codec := tikv.NewCodecPDClient(tikv.ModeTxn, util.InterceptedPDClient{Client: client})
	store, err := tikv.NewKVStore("transactions", codec, tikv.NewMockSafePointKV(), rpc)
	if err != nil {
		return err
	}
	defer store.Close()

	const goroutines, each = 8, 20
	if err := count(ctx, &txnkv.Client{KVStore: store}, goroutines, each); err != nil {
		return err
	}
	stats := client.(pdcompat.StatsClient).Stats()
	fmt.Println(goroutines*each, "transactions,", stats.Timestamps, "timestamps of tso,", stats.UpstreamCalls, "of PD's client")
	if stats.Timestamps < 2*goroutines*each || stats.UpstreamCalls != 0 {
		return errors.New("the timestamps did not come from tso")
	}
	return nil
}

// count has goroutines count one number up, and looks whether it got where it should.
func count(ctx context.Context, client *txnkv.Client, goroutines, each int) error {
	var (
		running sync.WaitGroup
		errs    = make(chan error, goroutines)
	)
	for range goroutines {
		running.Go(func() {
			for range each {
				if err := increment(ctx, client); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	running.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	txn, err := client.Begin()
	if err != nil {
		return err
	}
	if n, err := number(ctx, txn); err != nil || n != goroutines*each {
		return fmt.Errorf("counted to %d: %w", n, err)
	}
	return nil
}

// increment counts up in a transaction, again where another one came before.
func increment(ctx context.Context, client *txnkv.Client) error {
	for {
		txn, err := client.Begin()
		if err != nil {
			return err
		}
		n, err := number(ctx, txn)
		if err != nil {
			return err
		}
		if err := txn.Set(key, strconv.AppendInt(nil, int64(n+1), 10)); err != nil {
			return err
		}
		if err := txn.Commit(ctx); !tikverr.IsErrWriteConflict(err) {
			return err
		}
	}
}

var key = []byte("number")

func number(ctx context.Context, txn *txnkv.KVTxn) (int, error) {
	value, err := txn.Get(ctx, key)
	if tikverr.IsErrNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(value))
}
