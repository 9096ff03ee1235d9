// Command tso-soak keeps clients under load on a real PD cluster that is hurt at random,
// and says whether every promise was kept:
//
//	go run ./cmd/tso-soak --duration 20m --seed 7
//
// It prints a line each second and a verdict at the end. It exits with 0 if it passed, 1
// if it failed, 2 if nothing can be concluded, and 3 if it was called wrongly. See
// package soak for what is checked.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/integration/pdcluster"
	"github.com/tsoring/tso/integration/soak"
)

const (
	exitPassed = iota
	exitFailed
	exitInconclusive
	exitUsage
)

func main() {
	cli.Main(run)
}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var log string
	cfg := soak.Config{Out: stdout}
	f := flags(&cfg, &log)
	err := f.Parse(args)
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("%q is not a flag", f.Arg(0))
	}
	if err == nil {
		err = cfg.Check()
	}
	usage := "tso-soak hurts a real PD cluster at random and checks what clients make of it.\n\n" + f.FlagUsages()
	if code, refused := cli.Refuse("tso-soak", err, usage, stdout, stderr); refused {
		if code == cli.Usage {
			return exitUsage
		}
		return exitPassed
	}
	verdict, err := measure(ctx, cfg, log)
	if verdict != nil {
		fmt.Fprint(stdout, verdict)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "tso-soak: %v\n", err)
		return exitInconclusive
	case !verdict.Pass():
		return exitFailed
	}
	return exitPassed
}

func flags(cfg *soak.Config, log *string) *pflag.FlagSet {
	f := pflag.NewFlagSet("tso-soak", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // the caller says what is to be said
	f.DurationVar(&cfg.Duration, "duration", time.Minute, "for how long faults happen")
	f.Uint64Var(&cfg.Seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "what decides on the faults; a random one by default")
	f.IntVar(&cfg.Callers, "callers", 0, "how many goroutines call; 0: 2,000")
	f.IntVar(&cfg.Rate, "rate", 0, "calls a second, of all together; 0: 4,000")
	f.StringSliceVar(&cfg.Only, "only", nil, "let the faults happen whose `names` contain one of these: "+strings.Join(soak.Faults(), ", "))
	f.StringSliceVar(&cfg.Plant, "plant", nil, "make something wrong on `purpose`: "+strings.Join(soak.Plants(), ", "))
	f.StringVar(&cfg.Profiles, "profiles", "", "write profiles of each quiet moment into this `folder`")
	f.StringVar(log, "log", "", "write what the clients log to this `file`")
	return f
}

// measure runs it on a cluster of its own.
func measure(ctx context.Context, cfg soak.Config, log string) (verdict *soak.Verdict, err error) {
	if cfg.Log, err = cli.Logger(log); err != nil {
		return nil, err
	}
	if cfg.Cluster, err = pdcluster.Start(ctx, pdcluster.Config{Members: 3, Fast: true, Paths: true}); err != nil {
		return nil, err
	}
	verdict, err = soak.Run(ctx, cfg)
	if err != nil {
		err = fmt.Errorf("%w (%s)", err, cfg.Cluster.SaveLogs())
	}
	return verdict, errors.Join(err, cfg.Cluster.Close())
}
