package tso_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// must is for examples, which have nobody to return an error to.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// With TLS the addresses begin with https, and the client is told which authority has
// signed the members' certificates. Where PD asks clients for one (client-cert-auth),
// CertPath and KeyPath name theirs. All files are read again when they change.
func Example_tls() {
	certified := httptest.NewTLSServer(nil) // for its certificate; yours comes with your PD
	defer certified.Close()
	server := must(tsotest.Start(tsotest.WithTLS(certified.TLS)))
	defer server.Close()

	client := must(tso.NewClient(server.URLs(), tso.SecurityOption{
		// As bytes here; usually CAPath: "/etc/pd/ca.pem".
		SSLCABytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}),
	}))
	defer client.Close()
	physical, _, err := client.GetTS(context.Background())
	fmt.Println(physical > 0, err)
	// Output: true <nil>
}

// A program that has not called zap.ReplaceGlobals sees nothing of the client without
// a logger of its own.
func ExampleWithLogger() {
	server := must(tsotest.Start())
	defer server.Close()
	core, logs := observer.New(zap.InfoLevel) // yours would come of zap.NewProduction()
	client := must(tso.NewClient(server.URLs(), tso.SecurityOption{}, tso.WithLogger(zap.New(core).Named("tso"))))
	defer client.Close()
	for _, entry := range logs.FilterMessage("found the PD cluster").All() {
		fmt.Println(entry.LoggerName, entry.Level, entry.Message)
	}
	// Output: tso info found the PD cluster
}

// Rows of an import, say, that each need a timestamp: three RPCs bring all of them.
func ExampleClient_GetTSBatch() {
	server := must(tsotest.Start())
	defer server.Close()
	client := must(tso.NewClient(server.URLs(), tso.SecurityOption{}))
	defer client.Close()

	batch, err := client.GetTSBatch(context.Background(), 25_000)
	if err != nil {
		fmt.Println(err)
		return
	}
	last, rising := uint64(0), 0
	for physical, logical := range batch.All() { // allocates nothing
		if ts := tso.ComposeTS(physical, logical); ts > last {
			last, rising = ts, rising+1
		}
	}
	fmt.Println(batch.Len(), rising, last == tso.ComposeTS(batch.At(24_999)))
	// Output: 25000 25000 true
}

// Options that can be changed while calls are under way, for all of them at once.
func ExampleClient_updateOption() {
	server := must(tsotest.Start(tsotest.WithMembers(3)))
	defer server.Close()
	client := must(tso.NewClient(server.URLs(), tso.SecurityOption{}))
	defer client.Close()

	fmt.Println(client.UpdateOption(tso.EnableTSOFollowerProxy, true))
	fmt.Println(client.UpdateOption(tso.MaxTSOBatchWaitInterval, time.Millisecond))
	fmt.Println(client.UpdateOption(tso.TSOClientRPCConcurrency, "many"))
	// Output:
	// <nil>
	// <nil>
	// tso: invalid option: [pd] invalid value type for TSOClientRPCConcurrency option, it should be int, got string
}

// Local timestamps are granted in their dc-location, and are ordered among themselves
// and with global ones, each with those that were fetched before the call for it.
func ExampleClient_getLocalTS() {
	server := must(tsotest.Start(tsotest.WithDCs("dc-1", "dc-2"))) // a PD with enable-local-tso
	defer server.Close()
	client := must(tso.NewClient(server.URLs(), tso.SecurityOption{}))
	defer client.Close()

	ctx := context.Background()
	physical, logical, err := client.GetLocalTS(ctx, "dc-1")
	if err != nil {
		fmt.Println(err)
		return
	}
	local := tso.ComposeTS(physical, logical)
	if physical, logical, err = client.GetTS(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(local < tso.ComposeTS(physical, logical))
	// Output: true
}

// The hook hears of a PD that grants again what it has granted, as one does that has
// been restored from an old copy. No call gets such a timestamp: this one is answered
// by the next that is larger than all before.
func ExampleWithFallbackHook() {
	server := must(tsotest.Start())
	defer server.Close()
	var wrong atomic.Bool
	server.Script(func(tsotest.Request) tsotest.Reply {
		if !wrong.Swap(false) {
			return tsotest.Reply{}
		}
		return tsotest.Reply{Edit: func(r *pdpb.TsoResponse) { r.Timestamp.Physical -= time.Hour.Milliseconds() }}
	})
	events := make(chan tso.FallbackEvent, 1)
	hook := func(e tso.FallbackEvent) {
		select { // an alert, in your program; the hook must return soon
		case events <- e:
		default:
		}
	}
	client := must(tso.NewClient(server.URLs(), tso.SecurityOption{}, tso.WithFallbackHook(hook), tso.WithLogger(zap.NewNop())))
	defer client.Close()

	ctx := context.Background()
	before, _, err := client.GetTS(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	wrong.Store(true)
	after, _, err := client.GetTS(ctx)
	fmt.Println(after >= before, err)
	granted, _ := tso.ExtractTS((<-events).Granted)
	fmt.Println("PD was wrong by an hour:", granted < after-59*time.Minute.Milliseconds())
	// Output:
	// true <nil>
	// PD was wrong by an hour: true
}
