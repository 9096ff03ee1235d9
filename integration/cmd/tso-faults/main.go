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
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the run; the next one finds the default again.
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
		fmt.Fprintf(stderr, "tso-faults: %v\nTry --help.\n", err)
		return exitUsage
	}
	if err := runRows(ctx, cfg, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "tso-faults: %v\n", err)
		return exitFailed
	}
	return exitOK
}
