package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tsoring/tso/internal/history"
)

// windowMiB is how much the order checker remembers: some 12 s of timestamps.
const windowMiB = 2

// run is one run.
type run struct {
	cfg     Config
	clock   func() int64
	order   *history.Online
	ledger  ledger
	outages *outages
	fleet   *fleet
	gate    gate
	callers []*caller
	nemesis *nemesis
	quiets  []Reading
}

// Run does it, and returns the verdict. An error means that nothing can be concluded. If
// ctx ends, the verdict is about what has been until then.
func Run(ctx context.Context, cfg Config) (*Verdict, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newRun(cfg)
	if err := r.nemesis.heal(ctx); err != nil {
		return nil, err
	}
	if r.outages, err = watchOutages(cfg.Cluster, r.clock); err != nil {
		return nil, err
	}
	defer r.outages.stop()
	r.nemesis.outages = r.outages
	wrap, endPlant := plant(cfg.Plant)
	defer endPlant()
	r.fleet.wrap = wrap
	wait(ctx, cfg.pace.settling)
	before := r.readQuiet()
	if err := r.fleet.open(ctx); err != nil {
		return nil, err
	}
	err = r.hurt(ctx)
	return r.verdict(before, r.judgeEnd(before)), err
}

func newRun(cfg Config) *run {
	began := time.Now()
	r := &run{
		cfg:   cfg,
		clock: func() int64 { return int64(time.Since(began)) + 1 }, // 0 stands for never
		order: history.NewOnline(history.Contract, windowMiB),
	}
	r.fleet = &fleet{urls: cfg.Cluster.ClientURLs(), log: cfg.Log, ledger: &r.ledger, clock: r.clock}
	r.nemesis = &nemesis{cluster: cfg.Cluster, rng: r.dice(0), faults: cfg.faults(), done: make(map[string]int)}
	for i := range cfg.Callers {
		r.callers = append(r.callers, &caller{run: r, rng: r.dice(uint64(i) + firstCaller)})
	}
	return r
}

// Who has dice, besides the nemesis and the callers.
const (
	churning = iota + 1
	toggling
	firstCaller
)

// dice returns the random numbers of somebody.
func (r *run) dice(of uint64) *rand.Rand { return rand.New(rand.NewPCG(r.cfg.Seed, of)) }

// hurt runs the load and the faults, and ends both. All clients are closed when it
// returns.
func (r *run) hurt(ctx context.Context) error {
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var callers, others sync.WaitGroup
	for i, c := range r.callers {
		callers.Go(func() { c.live(live, rounds[i%len(rounds)]) })
	}
	others.Go(func() { r.fleet.churn(live, r.dice(churning)) })
	others.Go(func() { r.fleet.toggle(live, r.dice(toggling)) })
	telling, silence := context.WithCancel(context.WithoutCancel(ctx))
	var teller sync.WaitGroup
	teller.Go(func() { r.tell(telling) })
	err := r.faults(ctx)
	stop()
	others.Wait()
	r.fleet.close()
	r.awaitCallers(&callers)
	silence()
	teller.Wait()
	return err
}

// faults makes one fault happen after another, and looks at the process in between.
func (r *run) faults(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, r.cfg.Duration)
	defer cancel()
	if wait(limited, r.cfg.pace.warmUp) {
		r.quiet()
	}
	before := r.served()
	quietAt := time.Now()
	for wait(limited, between(r.nemesis.rng, r.cfg.Calm/2, r.cfg.Calm*3/2)) {
		// A fault that has begun is seen to its end, unless the user has lost patience.
		if err := r.nemesis.next(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if time.Since(quietAt) > r.cfg.pace.quietEvery && wait(limited, r.cfg.Calm/2) {
			r.quiet()
			quietAt = time.Now()
		}
	}
	for r.served() < before+r.cfg.pace.served && wait(ctx, 10*time.Millisecond) {
	}
	if ctx.Err() == nil {
		r.quiet()
	}
	return nil
}

// served returns how many calls have been served.
func (r *run) served() int64 { return r.ledger.outcomes[served].Load() }

// awaitCallers waits until all callers have ended, whose clients are closed.
func (r *run) awaitCallers(callers *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { callers.Wait(); close(ended) }()
	patience := time.NewTimer(closeMax + slack)
	defer patience.Stop()
	select {
	case <-ended:
		r.fleet.forget()
	case <-patience.C:
		r.ledger.find("stuck", "callers are not back %v after their clients were closed", closeMax+slack)
	}
}
