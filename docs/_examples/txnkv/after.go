package main

import (
	"fmt"

	"github.com/tikv/client-go/v2/txnkv"

	"github.com/tsoring/tso/pdcompat/pd2025/txn"
)

func open(addrs []string) (*txnkv.Client, error) {
	return txn.NewClient(addrs)
}

// show prints whence timestamps came.
func show(client *txnkv.Client) {
	if stats, ok := txn.Stats(client); ok {
		fmt.Println(stats.Timestamps, "timestamps of tso;", stats.UpstreamCalls, "of PD's own client", stats.Why)
	}
}
