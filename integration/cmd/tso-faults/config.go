package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tsoring/tso/integration/faults"
)

// config is the command line, understood.
type config struct {
	only    []string
	clients []string
	results string
	log     string
	list    bool
}

func flags(cfg *config) *pflag.FlagSet {
	f := pflag.NewFlagSet("tso-faults", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // the caller says what is to be said
	f.StringSliceVar(&cfg.only, "only", nil, "run the faults whose `names` contain one of these")
	f.StringSliceVar(&cfg.clients, "clients", []string{faults.Upstream, faults.Ours}, "`clients` to run side by side, crowds of them one after the other")
	f.StringVar(&cfg.results, "results", "", "write the table to a file of its own in this `folder`")
	f.StringVar(&cfg.log, "log", "", "write what our client logs to this `file`")
	f.BoolVar(&cfg.list, "list", false, "print the names of the faults, and run none")
	return f
}

// usage is the text of --help.
func usage() string {
	return "tso-faults hurts real PD clusters and prints what clients add to it.\n\n" + flags(new(config)).FlagUsages()
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
	for _, name := range cfg.clients {
		if name != faults.Ours && name != faults.Upstream {
			return cfg, fmt.Errorf("no client is called %q, choose of %s and %s", name, faults.Ours, faults.Upstream)
		}
	}
	if len(cfg.rows()) == 0 && len(cfg.crowds()) == 0 {
		return cfg, fmt.Errorf("no fault's name contains %s, see --list", strings.Join(cfg.only, " or "))
	}
	return cfg, nil
}

// rows returns the rows to run.
func (c config) rows() []faults.Row {
	return slices.DeleteFunc(faults.All(), func(row faults.Row) bool { return !c.wants(row.Name) })
}

// crowds returns the faults for many to run.
func (c config) crowds() []faults.Crowd {
	return slices.DeleteFunc(faults.Crowds(), func(crowd faults.Crowd) bool { return !c.wants(crowd.Name) })
}

// wants reports whether a fault of that name is to be run.
func (c config) wants(name string) bool {
	return len(c.only) == 0 || slices.ContainsFunc(c.only, func(s string) bool { return strings.Contains(name, s) })
}
