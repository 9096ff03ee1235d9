package tso_test

import (
	"context"
	"fmt"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

func Example() {
	server, err := tsotest.Start() // PD in process; in production, give NewClient the addresses of yours
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := tso.NewClient(server.URLs(), tso.SecurityOption{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	ctx := context.Background()
	start := client.GetTSAsync(ctx) // on its way while the transaction is set up
	startPhysical, startLogical, err := start.Wait()
	if err != nil {
		fmt.Println(err)
		return
	}
	commitPhysical, commitLogical, err := client.GetTS(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tso.ComposeTS(startPhysical, startLogical) < tso.ComposeTS(commitPhysical, commitLogical))
	// Output: true
}
