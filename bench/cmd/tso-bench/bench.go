package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/text"
	"github.com/tsoring/tso/internal/history"
)

// stopGrace is how long the last calls may take before they are cancelled.
const stopGrace = time.Second

// localScope is the checker's number for the one dc-location that a run has.
const localScope history.Scope = 1

// checkMiB is the memory in which duplicates are found. The embedded server
// moves its clock every millisecond, which fills 8 MiB in a second.
const checkMiB = 64

// bench runs the load that cfg describes, until ctx ends if that is earlier.
func bench(ctx context.Context, cfg config, out io.Writer) (*report, error) {
	to, err := newTarget(cfg)
	if err != nil {
		return nil, err
	}
	defer to.close()
	if to.embedded == nil {
		fmt.Fprintf(out, "looking for %v, for up to %v\n", to, cfg.connectTimeout)
	}
	client, first, err := connect(ctx, cfg, to)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	fmt.Fprintln(out, headline(cfg, to))
	profiling, err := cfg.profiles.start(out)
	if err != nil {
		return nil, err
	}
	defer profiling.close()

	checker, scope := newChecker(cfg)
	live := newLive(out, client, first)
	run := load.New(load.Config{
		Client: client, Callers: cfg.callers, Window: cfg.async, Cancelable: true, Check: scope,
	})
	var before, after load.Reading
	run.Measure(&before)
	run.Start()
	early := live.follow(ctx, run, cfg.duration)
	run.Stop(stopGrace)
	run.Measure(&after)
	after.Sub(&before)
	if err := profiling.write(); err != nil {
		return nil, err
	}
	return newReport(cfg, to, run, &after, checker, live.samples(after.Last), early), nil
}

// newChecker returns the checker and its view of the scope that the run is in;
// nil if nothing is to be checked.
func newChecker(cfg config) (*history.Online, *history.OnlineScope) {
	if !cfg.check {
		return nil, nil
	}
	checker := history.NewOnline(history.Contract, checkMiB)
	if cfg.dc == "" {
		return checker, checker.Scope(history.Global)
	}
	return checker, checker.Scope(localScope)
}

// headline says what is going to happen.
func headline(cfg config, to target) string {
	if cfg.duration == 0 {
		return title(cfg, to) + ", until Ctrl-C"
	}
	return fmt.Sprintf("%s, for %v (Ctrl-C ends it earlier)", title(cfg, to), cfg.duration)
}

// title says who is doing what to whom.
func title(cfg config, to target) string {
	t := fmt.Sprintf("%s, %s callers", clientName(cfg.impl), text.Count(cfg.callers))
	if cfg.callers == 1 {
		t = clientName(cfg.impl) + ", 1 caller"
	}
	if cfg.async > 0 {
		t += fmt.Sprintf(" with %s futures each", text.Count(cfg.async))
	}
	if cfg.dc != "" {
		t += ", dc-location " + cfg.dc
	}
	return fmt.Sprintf("%s, against %v", t, to)
}

// clientName says what hides behind the name of a client.
func clientName(name string) string {
	switch name {
	case impl.Upstream:
		return "upstream (github.com/tikv/pd/client)"
	case impl.Bare:
		return "bare gRPC stream"
	}
	return "tso"
}
