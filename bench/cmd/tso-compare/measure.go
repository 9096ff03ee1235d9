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

// result is one measurement: a client, a number of callers, a round. It is also
// a line of the JSON file.
type result struct {
	Impl    string `json:"impl"`
	Callers int    `json:"callers"`
	Round   int    `json:"round"`

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
}

// measure measures all there is to measure. Interrupted, it returns what it has.
func measure(ctx context.Context, cfg config, clients map[string]impl.Client, progress io.Writer) ([]result, error) {
	var results []result
	for _, callers := range cfg.callers {
		for round := range cfg.rounds {
			names := cfg.rivals(callers)
			if round%2 == 1 {
				slices.Reverse(names)
			}
			warmUp := cfg.warmUp
			if round > 0 {
				warmUp /= 4
			}
			for _, name := range names {
				m, ok := measureOne(ctx, cfg, clients[name], callers, warmUp)
				if !ok {
					return results, errInterrupted
				}
				r := newResult(name, callers, round, m)
				if r.Calls == 0 {
					return results, fmt.Errorf("%s with %d callers obtained no timestamp in %v (%d errors)", name, callers, cfg.duration, r.Errors)
				}
				fmt.Fprintf(progress, "callers %5d  round %d  %-8s  %8s ns/op\n", callers, round+1, name, text.Digits(r.NsPerOp))
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

// measureOne runs one client, warm-up first. It reports false if ctx ended.
func measureOne(ctx context.Context, cfg config, client impl.Client, callers int, warmUp time.Duration) (*load.Reading, bool) {
	var before, after load.Reading
	run := load.New(load.Config{Client: client, Callers: callers, Cancelable: cfg.cancelable})
	runtime.GC() // nobody pays for the garbage of the one before
	run.Start()
	defer run.Stop(grace)
	if !pause(ctx, warmUp) {
		return nil, false
	}
	run.Measure(&before)
	if !pause(ctx, cfg.duration) {
		return nil, false
	}
	run.Measure(&after)
	after.Sub(&before)
	return &after, true
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

func newResult(name string, callers, round int, m *load.Reading) result {
	r := result{Impl: name, Callers: callers, Round: round + 1, Calls: m.Calls, Errors: m.Errors}
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
