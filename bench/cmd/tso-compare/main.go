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
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/tsoring/tso/bench/internal/site"
)

const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	if isChild, err := site.RunChild(); isChild {
		if err != nil {
			fmt.Fprintf(os.Stderr, "tso-compare: %v\n", err)
			os.Exit(exitFailed)
		}
		return
	}
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the rounds; the next one finds the default again.
	context.AfterFunc(ctx, restore)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage())
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "tso-compare: %v\nTry --help.\n", err)
		return exitUsage
	}
	if err := compare(ctx, cfg, args, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "tso-compare: %v\n", err)
		return exitFailed
	}
	return exitOK
}
