package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/text"
)

// result is one measurement: a client, a scenario, a round. It is also
// a line of the JSON file.
type result struct {
	Impl string `json:"impl"`
	scenario
	Round int `json:"round"`

	Calls      int64   `json:"calls"`
	Errors     int64   `json:"errors"`
	NsPerOp    float64 `json:"ns_per_op"`
	P50        float64 `json:"p50_ns"`
	P99        float64 `json:"p99_ns"`
	CPUPerOp   float64 `json:"cpu_ns_per_op"`
	AllocsOp   float64 `json:"allocs_per_op"`
	BytesPerOp float64 `json:"bytes_per_op"`
	RPCsPerSec float64 `json:"rpcs_per_s"`
	PerRPC     float64 `json:"timestamps_per_rpc"`
	// Work is how many processors' worth of work the busy goroutines have done.
	Work float64 `json:"work"`
}

// measure measures all there is to measure. Interrupted, it returns what it has.
func measure(ctx context.Context, cfg config, clients map[string]impl.Client, progress io.Writer) ([]result, error) {
	var results []result
	for _, s := range cfg.scenarios() {
		for round := range cfg.rounds {
			names := cfg.rivals(s)
			if round%2 == 1 {
				slices.Reverse(names)
			}
			warmUp := cfg.warmUp
			if round > 0 {
				warmUp /= 4
			}
			for _, name := range names {
				m, work, ok := measureOne(ctx, cfg, clients[name], s, warmUp)
				if !ok {
					return results, errInterrupted
				}
				r := newResult(name, s, round, m, work)
				if r.Calls == 0 {
					return results, fmt.Errorf("%s with %s callers obtained no timestamp in %v (%d errors)", name, s.label(), cfg.duration, r.Errors)
				}
				fmt.Fprintf(progress, "callers %-14s  round %d  %-8s  %10s ns/op\n", s.label(), round+1, name, text.Digits(r.NsPerOp))
				results = append(results, r)
			}
		}
	}
	return results, nil
}

// errInterrupted says that the results are not all there are.
var errInterrupted = errors.New("interrupted: the table shows what had been measured by then")

// grace is how long the last calls of a measurement may take.
const grace = 5 * time.Second

// measureOne runs one client, warm-up first, and returns also the work done beside
// it. It reports false if ctx ended.
func measureOne(ctx context.Context, cfg config, client impl.Client, s scenario, warmUp time.Duration) (*load.Reading, time.Duration, bool) {
	var before, after load.Reading
	run := load.New(load.Config{Client: client, Callers: s.Callers, Cancelable: cfg.cancelable})
	runtime.GC() // nobody pays for the garbage of the one before
	busy := load.NewBusy(s.Busy)
	run.Start()
	defer run.Stop(grace)
	defer busy.Stop()
	if !pause(ctx, warmUp) {
		return nil, 0, false
	}
	run.Measure(&before)
	worked := busy.Work()
	if !pause(ctx, cfg.duration) {
		return nil, 0, false
	}
	run.Measure(&after)
	worked = busy.Work() - worked
	after.Sub(&before)
	return &after, worked, true
}

// pause returns after d, or with false when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func newResult(name string, s scenario, round int, m *load.Reading, work time.Duration) result {
	r := result{Impl: name, scenario: s, Round: round + 1, Calls: m.Calls, Errors: m.Errors}
	r.Work = work.Seconds() / m.Wall.Seconds()
	if m.Calls == 0 {
		return r
	}
	n, latency := float64(m.Calls), m.Latency()
	r.NsPerOp = float64(m.Wall) / n
	r.P50, r.P99 = float64(latency.P50), float64(latency.P99)
	r.CPUPerOp = float64(m.CPU) / n
	r.AllocsOp, r.BytesPerOp = float64(m.Mallocs)/n, float64(m.Bytes)/n
	r.RPCsPerSec = float64(m.Stats.RPCs) / m.Wall.Seconds()
	r.PerRPC = float64(m.Stats.Timestamps) / float64(max(m.Stats.RPCs, 1))
	return r
}
