// Command client takes a timestamp from PD's own client (before.go), from one whose
// timestamps come from tso (after.go), and from PD's own when it has been wrapped.
//
//	go get github.com/tsoring/tso/pdcompat/pd2025
//	go mod tidy
//	go run . 127.0.0.1:2379
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/tikv/pd/client/clients/tso"

	"github.com/tsoring/tso/pdcompat"
	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addrs []string) error {
	before, err := connectAsBefore(ctx, addrs)
	if err != nil {
		return err
	}
	_, _, err = before.GetTS(ctx)
	if err != nil {
		return err
	}
	after, err := connect(ctx, addrs)
	if err != nil {
		return err
	}
	defer after.Close()
	wrapped, err := wrap(before, addrs)
	if err != nil {
		return err
	}
	defer wrapped.Close() // and with it before
	for _, client := range []pd.Client{after, wrapped} {
		if err := take(ctx, client); err != nil {
			return err
		}
	}
	return nil
}

// take takes timestamps in all the ways that client-go does, and looks who granted them.
func take(ctx context.Context, client pd.Client) error {
	var future tso.TSFuture = client.WithCallerComponent("oracle").GetTSAsync(ctx)
	if _, _, err := future.Wait(); err != nil {
		return err
	}
	physical, logical, err := client.GetTS(ctx)
	if err != nil {
		return err
	}
	fmt.Println(physical, logical)
	if err := takeMany(ctx, client); err != nil {
		return err
	}
	return check(client)
}

// takeMany takes a thousand timestamps by one call, which PD's own client has not.
func takeMany(ctx context.Context, client pd.Client) error {
	batches, ok := client.(pdcompat.BatchClient)
	if !ok {
		return errors.New("no client of an adapter")
	}
	timestamps, err := batches.GetTSBatch(ctx, 1000)
	if err != nil {
		return err
	}
	for physical, logical := range timestamps.All() {
		if physical <= 0 || logical < 0 {
			return errors.New("no timestamp")
		}
	}
	return nil
}

// check reports an error unless timestamps come from tso.
func check(client pd.Client) error {
	if s, ok := client.(pdcompat.StatsClient); ok {
		stats := s.Stats()
		fmt.Println(stats.Timestamps, "timestamps of", stats.RPCs, "RPCs; from PD's own client:", stats.UpstreamCalls, stats.Why)
	}
	if s, ok := client.(pdcompat.StatsClient); !ok || s.Stats().Timestamps < 2 || s.Stats().Upstream {
		return errors.New("timestamps do not come from tso")
	}
	return nil
}
