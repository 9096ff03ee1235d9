// Command client-8.5 takes a timestamp from a client of release 8.5 whose timestamps come
// from tso.
//
//	go get github.com/tsoring/tso/pdcompat/pd85
//	go mod tidy
//	go run . 127.0.0.1:2379
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/tikv/pd/client/opt"

	"github.com/tsoring/tso/pdcompat"
	pd "github.com/tsoring/tso/pdcompat/pd85"
)

func main() {
	client, err := pd.NewClient(os.Args[1:], pd.SecurityOption{}, opt.WithCustomTimeoutOption(3*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	physical, logical, err := client.GetTS(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(physical, logical)
	if stats := client.(pdcompat.StatsClient).Stats(); stats.Timestamps != 1 {
		log.Fatal("the timestamp did not come from tso: ", stats.Why)
	}
}
