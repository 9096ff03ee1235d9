// Command v5.4 uses of PD's client what concerns timestamps, by the names that they had in PD
// v5.4: then tso alone is enough.
//
//	go get github.com/tsoring/tso
//	go mod tidy
//	go run . 127.0.0.1:2379
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	pd "github.com/tsoring/tso"
)

func main() {
	ctx := context.Background()
	client, err := pd.NewClient(os.Args[1:], pd.SecurityOption{},
		pd.WithCustomTimeoutOption(3*time.Second), pd.WithForwardingOption(true))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.UpdateOption(pd.MaxTSOBatchWaitInterval, time.Millisecond); err != nil {
		log.Fatal(err)
	}
	var future pd.TSFuture = client.GetTSAsync(ctx)
	physical, logical, err := future.Wait()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(physical<<18 | logical)
}
