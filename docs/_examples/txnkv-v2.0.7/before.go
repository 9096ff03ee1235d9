package main

import "github.com/tikv/client-go/v2/txnkv"

func openAsBefore(addrs []string) (*txnkv.Client, error) {
	return txnkv.NewClient(addrs)
}
