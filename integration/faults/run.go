package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso/integration/pdcluster"
	"github.com/tsoring/tso/internal/history"
)

const (
	// watchInterval is how exactly the floor is known.
	watchInterval = 5 * time.Millisecond
	// watchIntervalLocal is that of Local TSO, where there are four scopes to ask for
	// and PD asks all members for each global timestamp.
	watchIntervalLocal = 20 * time.Millisecond
	// calm is how long everybody has to serve before a fault, and after it.
	calm = 500 * time.Millisecond
	// rowTimeout bounds a row, within the caller's context. The longest take 40 s.
	rowTimeout = 3 * time.Minute
)

// Config says what to run a row with.
type Config struct {
	// Cluster is of the row's kind.
	Cluster *pdcluster.Cluster
	// Clients are names of clients, to run side by side.
	Clients []string
	// Log takes what our client logs; nil for nobody.
	Log *zap.Logger

	// wrap, if set, puts something between the load and a client, for tests of this
	// package.
	wrap func(client) client
}

// trial is one run of a row.
type trial struct {
	row      Row
	cluster  *pdcluster.Cluster
	clock    func() int64
	dcs      []string // of the scopes, the global one first
	watches  []*pdcluster.Watch
	subjects []*subject
	machine  *machine
	stage    *stage
	window   span
	hits     []int64 // when the fault happened
}

// Run lets a fault happen and tells what it has cost. The cluster is as before when
// it returns. A client that refuses the row's options is part of the result; an error
// means that nothing can be concluded.
func Run(ctx context.Context, row Row, cfg Config) (*Result, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	ctx, cancel := context.WithTimeout(ctx, rowTimeout)
	defer cancel()
	if err := Settle(ctx, cfg.Cluster); err != nil {
		return nil, fmt.Errorf("faults: before %s: %w", row.Name, err)
	}
	t := &trial{row: row, cluster: cfg.Cluster, clock: history.NewRecorder().Now, dcs: scopesOf(cfg.Cluster, row)}
	t.stage = &stage{cluster: cfg.Cluster, clock: t.clock}
	refused := t.open(cfg)
	err := t.run(ctx)
	floors := t.stop()
	err = errors.Join(err, Settle(ctx, cfg.Cluster))
	if err != nil {
		return nil, fmt.Errorf("faults: %s: %w", row.Name, err)
	}
	return t.result(floors, refused), nil
}

// scopesOf returns the dc-locations to call, "" for the global scope.
func scopesOf(c *pdcluster.Cluster, row Row) []string {
	dcs := []string{""}
	for _, m := range c.Members() {
		if row.Options.LocalTSO && m.DC != "" {
			dcs = append(dcs, m.DC)
		}
	}
	return dcs
}

// open opens the clients, and returns why some refused.
func (t *trial) open(cfg Config) map[string]error {
	refused := make(map[string]error)
	for _, name := range cfg.Clients {
		c, err := open(name, t.cluster.ClientURLs(), t.row.Options, cfg.Log.Named(t.row.Name))
		if err != nil {
			refused[name] = err
			continue
		}
		if cfg.wrap != nil {
			c = cfg.wrap(c)
		}
		t.subjects = append(t.subjects, newSubject(name, c, t.dcs, t.clock))
	}
	return refused
}

// run makes the faults happen, between two times of calm.
func (t *trial) run(ctx context.Context) error {
	interval := watchInterval
	if t.row.Options.LocalTSO {
		interval = watchIntervalLocal
	}
	for _, dc := range t.dcs {
		w, err := t.cluster.Watch(dc, interval, t.clock)
		if err != nil {
			return err
		}
		t.watches = append(t.watches, w)
	}
	t.machine = watchMachine(t.clock)
	for _, s := range t.subjects {
		s.start()
	}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	t.window.from = t.clock()
	defer func() { t.window.to = t.clock() }()
	for range max(1, t.row.Times) {
		if err := t.hit(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare returns when the fault may happen.
func (t *trial) prepare(ctx context.Context) error {
	if t.row.before != nil {
		if err := t.row.before(ctx, t.stage); err != nil {
			return err
		}
	}
	return t.awaitCalm(ctx, rowTimeout)
}

// hit makes the fault happen once and waits until the clients have got over it, or
// have had the time to.
func (t *trial) hit(ctx context.Context) error {
	leader, err := t.cluster.WaitLeader(ctx)
	if err != nil {
		return err
	}
	t.stage.leader = leader
	t.hits = append(t.hits, t.clock())
	if err := t.row.hit(ctx, t.stage); err != nil {
		return err
	}
	err = t.awaitCalm(ctx, watchedFor)
	if errors.Is(err, errRestless) {
		return nil // which is a result
	}
	return err
}

// errRestless is returned by awaitCalm if it did not get calm in time.
var errRestless = errors.New("faults: not all were served in time")

// awaitCalm waits until all have been served for a while.
func (t *trial) awaitCalm(ctx context.Context, patience time.Duration) error {
	const look, recent = 10 * time.Millisecond, 100 * time.Millisecond
	for began, calmSince := t.clock(), t.clock(); ; {
		if err := wait(ctx, look); err != nil {
			return err
		}
		now := t.clock()
		if !t.served(now - int64(recent)) {
			calmSince = now
		}
		switch {
		case now-calmSince > int64(calm):
			return nil
		case now-began > int64(patience):
			return errRestless
		}
	}
}

// served reports whether everybody has been served since.
func (t *trial) served(since int64) bool {
	return !slices.ContainsFunc(t.watches, func(w *pdcluster.Watch) bool { return w.Last() < since }) &&
		!slices.ContainsFunc(t.subjects, func(s *subject) bool { return !s.served(since) })
}

// stop ends the load and returns the silences of the cluster, by scope.
func (t *trial) stop() [][]span {
	for _, s := range t.subjects {
		s.stop()
	}
	if t.machine != nil {
		t.machine.stop()
	}
	var floors [][]span
	for _, w := range t.watches {
		interval := watchInterval
		if t.row.Options.LocalTSO {
			interval = watchIntervalLocal
		}
		floors = append(floors, merged(silences(w.Stop(), t.window, 5*interval), t.stage.blocked))
	}
	return floors
}

// Settle undoes what a fault may have left, and waits until all members serve.
func Settle(ctx context.Context, c *pdcluster.Cluster) error {
	for _, m := range c.Members() {
		if m.Path != nil {
			m.Path.Heal()
		}
		if err := errors.Join(m.Thaw(), m.Launch()); err != nil {
			return err
		}
	}
	for _, m := range c.Members() {
		if err := m.WaitServing(ctx); err != nil {
			return err
		}
	}
	_, err := c.WaitLeader(ctx)
	return err
}
