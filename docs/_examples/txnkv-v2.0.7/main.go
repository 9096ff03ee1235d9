// Command txnkv-v2.0.7 writes and reads a key in transactions of client-go v2.0.7,
// with txnkv's own client (before.go) and with one whose timestamps come from tso (after.go).
// It needs a TiKV.
//
//	go get github.com/tsoring/tso/pdcompat/pd2022/txn
//	go mod tidy
//	go build .
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/tikv/client-go/v2/txnkv"
)

func main() {
	for _, open := range []func([]string) (*txnkv.Client, error){openAsBefore, open} {
		client, err := open(os.Args[1:])
		if err != nil {
			log.Fatal(err)
		}
		err = write(context.Background(), client)
		show(client)
		if err := errors.Join(err, client.Close()); err != nil {
			log.Fatal(err)
		}
	}
}

func write(ctx context.Context, client *txnkv.Client) error {
	txn, err := client.Begin()
	if err != nil {
		return err
	}
	if err := txn.Set([]byte("k"), []byte("v")); err != nil {
		return err
	}
	fmt.Println(txn.StartTS())
	return txn.Commit(ctx)
}
