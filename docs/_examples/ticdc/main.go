// Command ticdc keeps a clock by PD's timestamps as TiCDC does: its client has TLS as a dial
// option, and asks every 10 ms.
//
//	go get github.com/tsoring/tso/pdcompat/pd2025
//	go mod tidy
//	go run . 127.0.0.1:2379
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pingcap/errors"
	"github.com/tikv/pd/client/opt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tsoring/tso/pdcompat"
	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

func main() {
	ctx := context.Background()
	tls := grpc.WithTransportCredentials(insecure.NewCredentials()) // or those of your certificates
	client, err := pd.NewClientWithContext(ctx, "cdc", os.Args[1:], pd.SecurityOption{},
		opt.WithGRPCDialOptions(tls))
	if err != nil {
		log.Fatal(err)
	}
	for range 20 {
		physical, _, err := client.GetTS(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(time.UnixMilli(physical))
		time.Sleep(10 * time.Millisecond)
	}
	if stats := client.(pdcompat.StatsClient).Stats(); stats.Timestamps < 20 {
		log.Fatal("timestamps do not come from tso: ", stats.Why)
	}
	client.Close()
	_, _, err = client.GetTS(ctx)
	if errors.Cause(err) != context.Canceled { // what TiCDC looks for
		log.Fatal("after Close: ", err)
	}
}
