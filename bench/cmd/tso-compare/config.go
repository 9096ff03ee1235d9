package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/text"
)

// config is the command line, understood.
type config struct {
	pd         []string
	impls      []string
	callers    []int
	busy       []int
	rounds     int
	duration   time.Duration
	warmUp     time.Duration
	cancelable bool
	json       string
}

func flags(cfg *config) *pflag.FlagSet {
	f := pflag.NewFlagSet("tso-compare", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // the caller says what is to be said
	f.StringSliceVar(&cfg.pd, "pd", nil, "`addresses` of a PD, as host:port,... (default: one is built and started)")
	f.StringSliceVar(&cfg.impls, "impls", impl.Names(), "`clients` to compare; the first one is what the others are compared with")
	f.IntSliceVar(&cfg.callers, "callers", []int{1, 64, 512, 4096}, "`numbers` of goroutines that call at once")
	f.IntSliceVar(&cfg.busy, "busy", []int{0}, "`numbers` of goroutines beside them that always have other work")
	f.IntVar(&cfg.rounds, "rounds", 5, "`number` of rounds")
	f.DurationVar(&cfg.duration, "duration", 2*time.Second, "how long each client is measured in a round")
	f.DurationVar(&cfg.warmUp, "warm-up", time.Second, "how long each client runs before it is measured; a quarter of it after the first round")
	f.BoolVar(&cfg.cancelable, "cancelable", false, "call with contexts that can be cancelled, instead of context.Background")
	f.StringVar(&cfg.json, "json", "", "write every measurement to this `file`")
	return f
}

// usage is the text of --help.
func usage() string {
	return "tso-compare measures clients against each other, on one PD.\n\n" + flags(new(config)).FlagUsages()
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
	return cfg, cfg.validate()
}

func (c *config) validate() error {
	for _, n := range c.callers {
		if n < 1 {
			return fmt.Errorf("--callers must be positive, not %d", n)
		}
	}
	for _, n := range c.busy {
		if n < 0 {
			return fmt.Errorf("--busy must not be negative, got %d", n)
		}
	}
	seen := map[string]bool{}
	for _, name := range c.impls {
		if err := impl.Check(name, impl.Config{}, false); err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("--impls names %s twice", name)
		}
		seen[name] = true
	}
	switch {
	case len(c.impls) == 0 || len(c.callers) == 0 || len(c.busy) == 0:
		return errors.New("--impls, --callers and --busy must not be empty")
	case c.rounds < 1:
		return fmt.Errorf("--rounds must be positive, not %d", c.rounds)
	case c.duration <= 0 || c.warmUp < 0:
		return errors.New("--duration must be positive, and --warm-up not negative")
	}
	return nil
}

// scenario is what the clients are compared in.
type scenario struct {
	Callers int `json:"callers"`
	Busy    int `json:"busy"` // workers beside them
}

// label is the scenario in a table.
func (s scenario) label() string {
	label := text.Count(s.Callers)
	if s.Busy > 0 {
		label += fmt.Sprintf(" + %s busy", text.Count(s.Busy))
	}
	return label
}

// scenarios returns all combinations.
func (c *config) scenarios() []scenario {
	var all []scenario
	for _, busy := range c.busy {
		for _, callers := range c.callers {
			all = append(all, scenario{callers, busy})
		}
	}
	return all
}

// rivals returns the clients to be measured in a scenario. The bare
// stream has one request in flight, so that more callers only wait in line.
func (c *config) rivals(s scenario) []string {
	var names []string
	for _, name := range c.impls {
		if name != impl.Bare || s.Callers == 1 {
			names = append(names, name)
		}
	}
	return names
}

// describe says what is measured, in a line.
func (c *config) describe() string {
	return fmt.Sprintf("%s; %d rounds of %v each, interleaved", strings.Join(c.impls, ", "), c.rounds, c.duration)
}
