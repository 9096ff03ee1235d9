// Command tso-faults hurts clusters of real PD processes and prints what our client
// and PD's own add to it:
//
//	go run ./cmd/tso-faults                      # all, some eight minutes
//	go run ./cmd/tso-faults --only frozen        # the faults whose name contains it
//
// See package faults for what is measured.
package main

import (
	"context"
	"io"

	"github.com/tsoring/tso/integration/cli"
)

func main() {
	cli.Main(run)
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if code, refused := cli.Refuse("tso-faults", err, usage(), stdout, stderr); refused {
		return code
	}
	if err := runRows(ctx, cfg, stdout, stderr); err != nil {
		return cli.Fail("tso-faults", err, stderr)
	}
	return cli.OK
}
