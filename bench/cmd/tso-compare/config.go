package main

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/pflag"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/bench/internal/site"
)

// config is the command line, understood.
type config struct {
	pd       []string
	set      string
	only     string
	callers  []int
	busy     []int
	impls    []string
	rounds   int
	duration time.Duration
	warmUp   time.Duration
	list     bool
	out      string
	from     string
	standIn  bool

	selected []scenario.Scenario // what all that comes to
}

// The sets of scenarios.
const (
	setShort = "short"
	setLong  = "long"
)

func flags(cfg *config) *pflag.FlagSet {
	f := pflag.NewFlagSet("tso-compare", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // the caller says what is to be said
	f.StringVar(&cfg.set, "set", setShort, "`set` of scenarios: short or long")
	f.StringVar(&cfg.only, "only", "", "of these, only those whose name matches this regular `expression`")
	f.IntSliceVar(&cfg.callers, "callers", nil, "instead of a set: closed loops with these `numbers` of callers")
	f.IntSliceVar(&cfg.busy, "busy", []int{0}, "beside each of --callers, these `numbers` of goroutines that always have other work")
	f.StringSliceVar(&cfg.impls, "impls", nil, "compare only these `clients` (default: those of each scenario)")
	f.BoolVar(&cfg.list, "list", false, "list the scenarios with their clients, and measure nothing")
	f.IntVar(&cfg.rounds, "rounds", 5, "`number` of rounds")
	f.DurationVar(&cfg.duration, "duration", time.Second, "how long each client is measured in a round")
	f.DurationVar(&cfg.warmUp, "warm-up", time.Second, "how long each client runs before it is measured; a quarter of it after the first round")
	f.StringSliceVar(&cfg.pd, "pd", nil, "`addresses` of a PD, as host:port,... (default: one is built and started)")
	f.BoolVar(&cfg.standIn, "stand-in", false, "measure everything on an imitation of PD, to try this command out")
	f.StringVar(&cfg.out, "out", "", "write the report and every measurement into this `folder`")
	f.StringVar(&cfg.from, "from", "", "measure nothing: show, and write, the results of this `file`")
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
	if err := cfg.validate(); err != nil {
		return cfg, err
	}
	return cfg, cfg.choose()
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
	switch {
	case c.set != setShort && c.set != setLong:
		return fmt.Errorf("--set must be short or long, not %q", c.set)
	case c.rounds < 1:
		return fmt.Errorf("--rounds must be positive, not %d", c.rounds)
	case c.duration <= 0 || c.warmUp < 0:
		return errors.New("--duration must be positive, and --warm-up not negative")
	}
	return nil
}

// choose finds the scenarios and their rivals.
func (c *config) choose() error {
	match, err := regexp.Compile(c.only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	known := map[string]bool{}
	for _, s := range c.scenarios() {
		s.Rivals = c.rivals(s, known)
		if match.MatchString(s.Name()) && len(s.Rivals) > 0 {
			c.selected = append(c.selected, s)
		}
	}
	for _, name := range c.impls {
		if !known[name] {
			return fmt.Errorf("--impls: no scenario compares %q; there are %v, and variants that --list shows", name, impl.Names())
		}
	}
	if len(c.selected) == 0 {
		return errors.New("that leaves no scenario; --list shows what there is")
	}
	return nil
}

func (c *config) scenarios() []scenario.Scenario {
	switch {
	case len(c.callers) > 0:
		return scenario.Custom(c.callers, c.busy)
	case c.set == setLong:
		return scenario.Long()
	}
	return scenario.Short()
}

// rivals returns those of a scenario that are wanted, and notes the names of all.
func (c *config) rivals(s scenario.Scenario, known map[string]bool) []scenario.Rival {
	var wanted []scenario.Rival
	for _, r := range s.Rivals {
		known[r.Name] = true
		for _, name := range c.impls {
			if name == r.Name {
				wanted = append(wanted, r)
			}
		}
	}
	if len(c.impls) == 0 {
		return s.Rivals
	}
	return wanted
}

func (c *config) lab() site.Lab { return site.Lab{PD: c.pd, NoPD: c.standIn} }
