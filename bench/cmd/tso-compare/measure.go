package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/bench/internal/site"
	"github.com/tsoring/tso/bench/internal/text"
)

// measurement collects results.
type measurement struct {
	cfg      config
	progress io.Writer
	began    time.Time
	results  []result.Result
}

// errInterrupted says that the results are not all there are.
var errInterrupted = errors.New("interrupted: the table shows what had been measured by then")

// measure measures all there is to measure. Interrupted, it returns what it has.
func measure(ctx context.Context, cfg config, progress io.Writer) ([]result.Result, error) {
	m := &measurement{cfg: cfg, progress: progress, began: time.Now()}
	for rest := cfg.selected; len(rest) > 0; {
		// The scenarios are in the order of their sites.
		n := slices.IndexFunc(rest, func(s scenario.Scenario) bool { return s.Site != rest[0].Site })
		if n < 0 {
			n = len(rest)
		}
		if err := m.at(ctx, rest[:n]); err != nil {
			if ctx.Err() != nil {
				err = errInterrupted
			}
			return m.results, err
		}
		rest = rest[n:]
	}
	return m.results, nil
}

// at measures scenarios that share a site, whose clients are open meanwhile: those
// whose turn it is not are idle.
func (m *measurement) at(ctx context.Context, scenarios []scenario.Scenario) error {
	where := scenarios[0].Site
	fmt.Fprintf(m.progress, "%s  starting %s (a PD is built the first time), opening clients\n", m.clock(), where)
	s, err := m.cfg.lab().Open(ctx, where)
	if errors.Is(err, site.ErrNoSite) {
		fmt.Fprintf(m.progress, "left out, %s: %v\n", where, err)
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Prepare(ctx, clientsOf(scenarios)); err != nil {
		return err
	}
	for _, what := range scenarios {
		if err := m.scenario(ctx, s, what); err != nil {
			return err
		}
	}
	return nil
}

func clientsOf(scenarios []scenario.Scenario) []scenario.Rival {
	var all []scenario.Rival
	for _, s := range scenarios {
		if !s.Idle { // it has processes of its own
			all = append(all, s.Rivals...)
		}
		if s.Site == scenario.Far {
			all = append(all, scenario.Bare) // for the round trip
		}
	}
	return all
}

// scenario measures the rivals in turn, each round in the reverse order of the one
// before.
func (m *measurement) scenario(ctx context.Context, s *site.Site, what scenario.Scenario) error {
	for round := range m.cfg.rounds {
		if what.Idle {
			if err := m.idle(ctx, s, what, round); err != nil {
				return err
			}
			continue
		}
		rivals := slices.Clone(what.Rivals)
		if round%2 == 1 {
			slices.Reverse(rivals)
		}
		if err := m.round(ctx, s, what, rivals, round); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) round(ctx context.Context, s *site.Site, what scenario.Scenario, rivals []scenario.Rival, round int) error {
	var rtt time.Duration
	var err error
	if what.Site == scenario.Far {
		if rtt, err = s.RTT(ctx); err != nil {
			return err
		}
	}
	extent := scenario.Extent{WarmUp: m.cfg.warmUp, Duration: m.cfg.duration}
	if round > 0 {
		extent.WarmUp /= 4
	}
	for _, r := range rivals {
		client, err := s.Client(ctx, r)
		if err != nil {
			return err
		}
		measured, err := scenario.Measure(ctx, what, r, client, rtt, extent)
		switch {
		case errors.Is(err, scenario.ErrNoTimestamp):
			// It had no chance, or is stuck; the others are worth to be measured.
			fmt.Fprintf(m.progress, "left out, round %d: %v\n", round+1, err)
		case err != nil:
			return err
		default:
			m.add(measured, round)
		}
	}
	return nil
}

// idleTime is how many times longer an idle client is watched than a busy one, all
// rivals at once: what it does, it does seldom.
const idleTime = 5

func (m *measurement) idle(ctx context.Context, s *site.Site, what scenario.Scenario, round int) error {
	all, err := s.Idle(ctx, what, idleTime*m.cfg.duration)
	if err != nil {
		return err
	}
	for _, r := range all {
		m.add(r, round)
	}
	return nil
}

func (m *measurement) add(r result.Result, round int) {
	r.Round = round + 1
	m.results = append(m.results, r)
	figure := fmt.Sprintf("%8s ns/op", text.Digits(r.NsPerOp))
	if r.Calls == 0 {
		figure = ""
	}
	fmt.Fprintf(m.progress, "%s  %-28s  round %d  %-16s %s\n", m.clock(), r.Scenario, r.Round, r.Rival, figure)
}

// clock is how long it has taken until now.
func (m *measurement) clock() string {
	d := time.Since(m.began).Round(time.Second)
	return fmt.Sprintf("%2d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
