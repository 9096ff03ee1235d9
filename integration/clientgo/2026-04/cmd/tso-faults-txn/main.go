// Command tso-faults-txn hurts clusters of real PD processes while client-go's transactions
// move money on them, over our client and over PD's own, and prints what became of the
// transactions of each:
//
//	go run ./cmd/tso-faults-txn                  # all, some three minutes
//	go run ./cmd/tso-faults-txn --only frozen    # the faults whose name contains it
//
// Both run at the same time, in one process and on one cluster, so that they see the same
// fault; each has data of its own. See package stack for what takes TiKV's place.
package main

import (
	"context"
	"io"

	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/integration/clientgo/2026-04/stack"
)

func main() {
	stack.Quiet()
	cli.Main(run)
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if code, refused := cli.Refuse(name, err, usage(), stdout, stderr); refused {
		return code
	}
	if err := runRows(ctx, cfg, stdout, stderr); err != nil {
		return cli.Fail(name, err, stderr)
	}
	return cli.OK
}
