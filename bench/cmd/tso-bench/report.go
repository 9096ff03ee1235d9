package main

import (
	"errors"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/internal/history"
)

// report is what there is to say about a run.
type report struct {
	title    string
	embedded bool // the server is part of the process
	early    bool // ended by a signal

	calls, failed int64
	wall          time.Duration
	latency       load.Latency
	faults        []load.Fault
	stats         impl.Stats
	usage         load.Usage
	order         order
	samples       []uint64
}

// order is the verdict of the checker.
type order struct {
	checked   bool
	calls     uint64
	faults    uint64
	unchecked uint64 // for duplicates, as too much time had passed
	first     []history.Violation
}

func newReport(cfg config, to target, run *load.Run, measured *load.Reading,
	checker *history.Online, samples []uint64, early bool,
) *report {
	return &report{
		title:    title(cfg, to),
		embedded: to.embedded != nil,
		early:    early,
		calls:    measured.Calls,
		failed:   measured.Errors,
		wall:     measured.Wall,
		latency:  measured.Latency(),
		faults:   run.Errors(),
		stats:    measured.Stats,
		usage:    measured.Usage,
		order:    newOrder(run, checker),
		samples:  samples,
	}
}

// newOrder joins what the checker has found with what the callers have found
// among their own futures.
func newOrder(run *load.Run, checker *history.Online) order {
	first, total := run.Violations()
	o := order{faults: uint64(total), first: first}
	if checker != nil {
		o.checked = true
		o.calls = checker.Calls()
		o.faults += checker.Faults()
		o.unchecked = checker.Unchecked()
		o.first = append(checker.Violations(), first...)
	}
	return o
}

// err returns why the run is a failure, or nil.
func (r *report) err() error {
	switch {
	case r.order.faults > 0:
		return errors.New("timestamps were out of order or handed out twice")
	case r.calls == 0:
		return errors.New("no timestamp was obtained")
	}
	return nil
}
