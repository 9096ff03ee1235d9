package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tsoring/tso/bench/internal/impl"
)

// config is the command line, understood.
type config struct {
	pd             []string
	dc             string
	impl           string
	callers        int
	async          int
	duration       time.Duration
	connectTimeout time.Duration
	check          bool
	ca, cert, key  string
	profiles       profiles
}

// maxCallers keeps a slip of the finger from filling the memory.
const maxCallers = 1_000_000

// environment names the variables that stand in for flags that are not given,
// as the Makefile passes them.
var environment = []struct{ variable, flag string }{
	{"PD", "pd"}, {"DC", "dc"}, {"CALLERS", "callers"}, {"DURATION", "duration"},
}

// flags returns the command line, which sets cfg when it is parsed.
func flags(cfg *config) *pflag.FlagSet {
	f := pflag.NewFlagSet("tso-bench", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // the caller says what is to be said
	f.StringSliceVar(&cfg.pd, "pd", nil, "go to PD at these `addresses`, as host:port,... (default: a server in this process) [$PD]")
	f.StringVar(&cfg.dc, "dc", "", "take local timestamps, of the dc-location of that `name` [$DC]")
	f.IntVar(&cfg.callers, "callers", 64, "`number` of goroutines that call, each again and again [$CALLERS]")
	f.DurationVar(&cfg.duration, "duration", 10*time.Second, "how long, such as 30s or 5m; 0 for until Ctrl-C [$DURATION]")
	f.StringVar(&cfg.impl, "impl", impl.TSO, "`client` to use: "+strings.Join(impl.Names(), ", "))
	f.IntVar(&cfg.async, "async", 0, "have each caller keep that `number` of futures outstanding")
	f.BoolVar(&cfg.check, "check", true, "check order and uniqueness of all timestamps")
	f.DurationVar(&cfg.connectTimeout, "connect-timeout", 10*time.Second, "how long to try to get the first timestamp")
	f.StringVar(&cfg.ca, "cacert", "", "PEM `file` of the authority that signed PD's certificate")
	f.StringVar(&cfg.cert, "cert", "", "PEM `file` of the client's certificate")
	f.StringVar(&cfg.key, "key", "", "PEM `file` of the key to --cert")
	cfg.profiles.flags(f)
	return f
}

// usage is the text of --help.
func usage() string {
	return "tso-bench puts a timestamp client under load: a line each second, and a table in the end.\n\n" +
		flags(new(config)).FlagUsages() +
		"\nA flag that is not given falls back to the environment variable in brackets, if that is set.\n"
}

// parse reads the command line, and the environment for what it leaves open.
func parse(args []string, getenv func(string) string) (config, error) {
	var cfg config
	f := flags(&cfg)
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	if f.NArg() > 0 {
		return cfg, fmt.Errorf("%q is not a flag", f.Arg(0))
	}
	for _, e := range environment {
		value := getenv(e.variable)
		if value == "" || f.Changed(e.flag) {
			continue
		}
		if err := f.Set(e.flag, value); err != nil {
			return cfg, fmt.Errorf("environment variable %s: %w", e.variable, err)
		}
	}
	return cfg, cfg.validate()
}

func (c *config) validate() error {
	switch {
	case c.callers < 1 || c.callers > maxCallers:
		return fmt.Errorf("--callers must be between 1 and %d, not %d", maxCallers, c.callers)
	case c.duration < 0:
		return fmt.Errorf("--duration must not be negative, as %v is", c.duration)
	case c.connectTimeout <= 0:
		return fmt.Errorf("--connect-timeout must be positive, which %v is not", c.connectTimeout)
	case c.async < 0 || c.async*c.callers > maxCallers:
		return fmt.Errorf("--async times --callers must be between 0 and %d", maxCallers)
	case (c.cert == "") != (c.key == ""):
		return errors.New("--cert and --key go together")
	case c.cert != "" && c.ca == "":
		return errors.New("--cert needs --cacert")
	case c.ca != "" && len(c.pd) == 0:
		return errors.New("--cacert needs --pd: the server in this process speaks no TLS")
	}
	return impl.Check(c.impl, c.client(nil), c.async > 0)
}

// client returns what the client is opened with, for a server at addrs.
func (c *config) client(addrs []string) impl.Config {
	return impl.Config{Addrs: addrs, DC: c.dc, CAPath: c.ca, CertPath: c.cert, KeyPath: c.key}
}
