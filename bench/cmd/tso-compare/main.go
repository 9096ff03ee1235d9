// Command tso-compare measures clients against each other, on one PD:
//
//	go run ./cmd/tso-compare                        # the short set of scenarios
//	go run ./cmd/tso-compare --set long --out DIR   # all, with a report
//	go run ./cmd/tso-compare --only busy --list     # what is there
//	go run ./cmd/tso-compare --pd 127.0.0.1:2379    # uses a PD that runs
//
// The clients take turns, round by round in one process, because a machine's
// speed drifts by more than what is to be seen; each round turns their order
// around. What is printed are the medians of the rounds, and the medians of the
// ratios within a round: only those mean something on another machine.
//
// CPU time and allocations are those of the process, that is of the client and of
// what measures it: servers, and the path to one that is far, have processes of their
// own.
package main

import (
	"context"
	"io"
	"os"

	"github.com/tsoring/tso/bench/internal/site"
	"github.com/tsoring/tso/integration/cli"
)

func main() {
	if isChild, err := site.RunChild(); isChild {
		if err != nil {
			os.Exit(cli.Fail("tso-compare", err, os.Stderr))
		}
		return
	}
	cli.Main(run)
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	if code, refused := cli.Refuse("tso-compare", err, usage(), stdout, stderr); refused {
		return code
	}
	if err := compare(ctx, cfg, args, stdout, stderr); err != nil {
		return cli.Fail("tso-compare", err, stderr)
	}
	return cli.OK
}
