package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/result"
)

// Extent is how much is measured.
type Extent struct {
	// WarmUp is how long the load runs before it is measured for Duration.
	WarmUp, Duration time.Duration
	// Calls, if not 0, is how many calls are measured, or a few more, instead, with no
	// warm-up.
	Calls int
}

// grace is how long the last calls of a measurement may take.
const grace = 5 * time.Second

// ErrNoTimestamp says that a client has not obtained a single timestamp.
var ErrNoTimestamp = errors.New("no timestamp was obtained")

// Measure measures a client in a scenario that is not idle. A round trip to the site
// takes rtt, as RTT has found out; it matters only if ThinkRTT is set.
func Measure(ctx context.Context, s Scenario, r Rival, client impl.Client, rtt time.Duration, extent Extent) (result.Result, error) {
	if s.Queue {
		return measureQueue(ctx, s, r, extent)
	}
	run := load.New(config(s, r, client, rtt, extent))
	runtime.GC() // nobody pays for the garbage of the one before
	workers := s.workers()
	defer workers.Stop()
	var before, after load.Reading
	begin := func() time.Duration { run.Measure(&before); return workers.Work() }
	var worked time.Duration
	if extent.Calls > 0 {
		worked = begin()
	}
	run.Start()
	defer run.Stop(grace)
	if extent.Calls == 0 {
		if err := wait(ctx, extent.WarmUp, nil); err != nil {
			return result.Result{}, err
		}
		worked = begin()
	}
	if err := wait(ctx, extent.Duration, until(run, extent)); err != nil {
		return result.Result{}, err
	}
	run.Measure(&after)
	worked = workers.Work() - worked
	after.Sub(&before)
	return newResult(s, r, rtt, &after, worked)
}

// until returns what ends a measurement besides its duration.
func until(run *load.Run, extent Extent) <-chan struct{} {
	if extent.Calls > 0 {
		return run.Done()
	}
	return nil
}

func config(s Scenario, r Rival, client impl.Client, rtt time.Duration, extent Extent) load.Config {
	cfg := load.Config{Client: client, Callers: s.Callers, Window: s.Window, Pace: s.Pace, Batch: r.Batch, Cancelable: r.Cancelable}
	if s.ThinkRTT {
		cfg.Pace.Think = rtt
	}
	if local, ok := client.(impl.Local); ok && r.Local {
		for i := range Locations {
			cfg.Views = append(cfg.Views, local.At(fmt.Sprintf("dc-%d", i+1)))
		}
	}
	if r.Client == "" {
		cfg.Client, cfg.Callers = nobody{}, 0
	}
	if extent.Calls > 0 {
		cfg.Quota = (extent.Calls + s.Callers - 1) / s.Callers
	}
	return cfg
}

func (s Scenario) workers() *load.Busy {
	if s.Share > 0 {
		return load.NewShare(s.Busy, s.Share)
	}
	return load.NewBusy(s.Busy)
}

// wait returns after d, if it is not 0, or when done is closed.
func wait(ctx context.Context, d time.Duration, done <-chan struct{}) error {
	var over <-chan time.Time
	if done == nil {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func newResult(s Scenario, r Rival, rtt time.Duration, m *load.Reading, worked time.Duration) (result.Result, error) {
	res := result.New(m, float64(worked))
	res.Scenario, res.Rival, res.RTT, res.Curve = s.Name(), r.Name, float64(rtt), m.Curve()
	if m.Calls == 0 && r.Client != "" {
		return res, fmt.Errorf("%s, %s: %w in %v (%d errors)", s.Name(), r.Name, ErrNoTimestamp, m.Wall.Round(time.Millisecond), m.Errors)
	}
	return res, nil
}

// nobody is a client that nobody calls.
type nobody struct{}

func (nobody) GetTS(context.Context) (physical, logical int64, err error) {
	return 0, 0, ErrNoTimestamp
}
func (nobody) Leader() string    { return "" }
func (nobody) Stats() impl.Stats { return impl.Stats{} }
func (nobody) Close()            {}

// The round trip is the mean of so many calls of the bare stream, with pauses so that
// it is that of a quiet process.
const (
	rttCalls = 100
	rttPause = 500 * time.Microsecond
)

// RTT measures a round trip.
func RTT(ctx context.Context, bare impl.Client) (time.Duration, error) {
	var sum time.Duration
	for range rttCalls {
		if err := wait(ctx, rttPause, nil); err != nil {
			return 0, err
		}
		began := time.Now()
		if _, _, err := bare.GetTS(ctx); err != nil {
			return 0, err
		}
		sum += time.Since(began)
	}
	return sum / rttCalls, nil
}
