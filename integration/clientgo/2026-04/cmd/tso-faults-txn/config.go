package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/tikv/pd/client/opt"

	"github.com/tsoring/tso/integration/clientgo/2026-04/stack"
	"github.com/tsoring/tso/integration/faults"
)

const name = "tso-faults-txn"

// config is the command line, understood.
type config struct {
	only    []string
	results string
	list    bool
}

func flags(cfg *config) *pflag.FlagSet {
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // the caller says what is to be said
	f.StringSliceVar(&cfg.only, "only", nil, "run the faults whose `names` contain one of these")
	f.StringVar(&cfg.results, "results", "", "write the table to a file of its own in this `folder`")
	f.BoolVar(&cfg.list, "list", false, "print the names of the faults, and run none")
	return f
}

// usage is the text of --help.
func usage() string {
	return name + " hurts real PD clusters and prints what becomes of transactions.\n\n" + flags(new(config)).FlagUsages()
}

func parse(args []string) (config, error) {
	var cfg config
	f := flags(&cfg)
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	if f.NArg() > 0 {
		return cfg, fmt.Errorf("%q is not a flag", f.Arg(0))
	}
	if len(cfg.rows()) == 0 {
		return cfg, fmt.Errorf("no fault's name contains %s, see --list", strings.Join(cfg.only, " or "))
	}
	return cfg, nil
}

// allRows are the faults: of the leader, of the way to it, and of all.
func allRows() []faults.Row {
	forwarding := faults.Options{Forwarding: true}
	const path, processes = 10 * time.Second, 10 * time.Second
	return []faults.Row{
		faults.NoFault(path),
		faults.LeaderTransferred(),
		faults.LeaderResigned(),
		faults.LeaderTerminated(),
		faults.LeaderKilled(),
		faults.LeaderFrozen(processes),
		faults.AllRestarted(),
		faults.PathHeld(path, faults.Options{}),
		faults.PathRefused(path, faults.Options{}),
		faults.PathHeld(path, forwarding).With("forwarding", forwarding),
		faults.ConnectionDead(),
		faults.EverythingReset(),
		faults.LeaderKilled().On(faults.Default),
	}
}

// rows returns the rows to run.
func (c config) rows() []faults.Row {
	return slices.DeleteFunc(allRows(), func(row faults.Row) bool {
		return len(c.only) > 0 && !slices.ContainsFunc(c.only, func(s string) bool { return strings.Contains(row.Name, s) })
	})
}

// client is a PD client that transactions run over.
type client struct {
	name string
	open func(...opt.ClientOption) stack.OpenPD
}

// clients run side by side.
var clients = []client{{"upstream", stack.Upstream}, {"ours", stack.Ours}}
