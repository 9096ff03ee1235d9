// Command tso-faults hurts clusters of real PD processes and prints what our client
// and PD's own add to it:
//
//	go run ./cmd/tso-faults                      # all, some eight minutes
//	go run ./cmd/tso-faults --only frozen        # the faults whose name contains it
//	go run ./cmd/tso-faults --only clients,watches  # those for many clients at once
//
// See package faults for what is measured.
package main

import (
	"context"
	"io"
	"os"

	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/integration/faults"
)

func main() {
	switch isGroup, err := faults.PlayGroup(); {
	case err != nil:
		os.Exit(cli.Fail("tso-faults", err, os.Stderr))
	case !isGroup:
		cli.Main(run)
	}
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if code, refused := cli.Refuse("tso-faults", err, usage(), stdout, stderr); refused {
		return code
	}
	if err := runAll(ctx, cfg, stdout, stderr); err != nil {
		return cli.Fail("tso-faults", err, stderr)
	}
	return cli.OK
}
