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
	"fmt"
	"io"
	"os"

	"github.com/tsoring/tso/integration/cli"
)

func main() {
	cli.Main(func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		return run(ctx, args, os.Getenv, stdout, stderr)
	})
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, getenv)
	if code, refused := cli.Refuse("tso-bench", err, usage(), stdout, stderr); refused {
		return code
	}
	report, err := bench(ctx, cfg, stdout)
	if err != nil {
		return cli.Fail("tso-bench", err, stderr)
	}
	fmt.Fprintf(stdout, "\n%s\n", report.render())
	if err := report.err(); err != nil {
		return cli.Fail("tso-bench", err, stderr)
	}
	return cli.OK
}
