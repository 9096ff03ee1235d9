// Command tso-bench puts a timestamp client under load and shows what comes of
// it: a line each second, and a table in the end.
//
//	go run ./cmd/tso-bench                       # against a server in this process
//	go run ./cmd/tso-bench --pd 127.0.0.1:2379   # against PD
//	go run ./cmd/tso-bench --impl upstream       # PD's own client, to compare
//
// Every timestamp is checked: each is larger than all that had been obtained
// when its call began, and no two are the same. Ctrl-C ends the run early, with
// the table; a second Ctrl-C ends the process.
//
// The exit code is 0 if timestamps were obtained and all of them were right, 1
// if not, and 2 if the command line cannot be understood.
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
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, getenv)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage())
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "tso-bench: %v\nTry --help.\n", err)
		return exitUsage
	}
	report, err := bench(ctx, cfg, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "tso-bench: %v\n", err)
		return exitFailed
	}
	fmt.Fprintf(stdout, "\n%s\n", report.render())
	if err := report.err(); err != nil {
		fmt.Fprintf(stderr, "tso-bench: %v\n", err)
		return exitFailed
	}
	return exitOK
}
