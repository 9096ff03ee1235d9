package soak

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso/integration/pdcluster"
)

// Config says what to run. All but Cluster and Duration have a default.
type Config struct {
	// Cluster has three members or more behind paths.
	Cluster *pdcluster.Cluster
	// Duration is for how long faults happen. What is under way at its end is waited
	// for.
	Duration time.Duration
	// Seed decides what happens.
	Seed uint64
	// Callers is the number of goroutines that call; 0 stands for 2,000.
	Callers int
	// Rate is how many calls a second they make together; 0 stands for 4,000, which
	// leaves most of two processors to PD and its elections.
	Rate int
	// Only has names, or parts of names, of the faults that may happen; empty: all.
	Only []string
	// Calm is how long nothing happens between two faults, on average; 0 stands for 2 s.
	Calm time.Duration
	// Out gets a line each second; nil: nobody.
	Out io.Writer
	// Log gets what the clients log; nil: nobody.
	Log *zap.Logger
	// Profiles is a folder for profiles of goroutines and heap, of each quiet moment and of
	// what is left when all clients are closed if it is too much. Empty: none are written.
	Profiles string
	// Plant makes something wrong on purpose, so that the verdict can be seen to fail:
	// some of Plants.
	Plant []string

	pace pace
}

// pace is how long a run takes for what is not its load; the zero value stands for
// usual.
type pace struct {
	settling   time.Duration // for the watch of the cluster to have all its streams
	warmUp     time.Duration // of the load, before the first quiet moment
	quietFor   time.Duration // before anything is read: what lingers goes, what is on its way comes
	quietEvery time.Duration // between quiet moments, which also wait for the end of a fault
	patience   time.Duration // for callers to be back, when it gets quiet
	lingers    time.Duration // what a closed client may leave, such as connections that the paths still have
	served     int64         // how many calls, at least, are served between the first quiet moment and the last
}

var usual = pace{
	settling:   time.Second,
	warmUp:     3 * time.Second,
	quietFor:   1500 * time.Millisecond,
	quietEvery: 25 * time.Second,
	patience:   budgetEnd + 2*slack,
	lingers:    10 * time.Second,
}

const (
	defaultCallers = 2000
	defaultRate    = 4000
	defaultCalm    = 2 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	if c.Callers == 0 {
		c.Callers = defaultCallers
	}
	if c.Rate == 0 {
		c.Rate = defaultRate
	}
	if c.Calm == 0 {
		c.Calm = defaultCalm
	}
	if c.pace == (pace{}) {
		c.pace = usual
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c, c.Check()
}

// Check returns what is wrong with a configuration, but for the cluster.
func (c Config) Check() error {
	switch {
	case c.Callers < 0 || c.Rate < 0 || c.Calm < 0 || c.Duration <= 0:
		return errors.New("soak: callers, rate, calm and duration must be positive")
	case len(c.faults()) == 0:
		return fmt.Errorf("soak: no fault's name contains %s; there are: %s",
			strings.Join(c.Only, " or "), strings.Join(Faults(), ", "))
	}
	for _, what := range c.Plant {
		if !slices.Contains(Plants(), what) {
			return fmt.Errorf("soak: %q cannot be planted; there are: %s", what, strings.Join(Plants(), ", "))
		}
	}
	return nil
}

// faults returns those that may happen.
func (c Config) faults() []fault {
	return slices.DeleteFunc(allFaults(), func(f fault) bool {
		return len(c.Only) > 0 && !slices.ContainsFunc(c.Only, func(s string) bool { return strings.Contains(f.name, s) })
	})
}
