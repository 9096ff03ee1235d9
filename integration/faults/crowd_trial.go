package faults

import (
	"context"
	"errors"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
)

const (
	// crowdCalm is how long each client of a crowd has been served when a fault is over. It is
	// more than a leader takes at most to give up the office that it has been told to.
	crowdCalm = time.Second
	// crowdPatience is how long a crowd is given to be served again.
	crowdPatience = 30 * time.Second
)

// crowdTrial is one run of a fault for many.
type crowdTrial struct {
	crowd   Crowd
	cluster *pdcluster.Cluster
	groups  []*groupProcess
	opening time.Duration // PD's processor time while the clients opened
	opened  counts        // what they sent for it
}

// open starts the clients and waits until all of them are served.
func (t *crowdTrial) open(ctx context.Context, client string) error {
	left, pause := t.crowd.Count, crowdPause
	if len(t.crowd.kinds) > 0 {
		pause = 0
	}
	before, err := t.spent()
	if err != nil {
		return err
	}
	for i := range t.crowd.Groups {
		share := left / (t.crowd.Groups - i)
		left -= share
		p, err := startGroup(groupOrder{Client: client, URLs: t.cluster.ClientURLs(), Count: share, Pause: pause})
		if err != nil {
			return err
		}
		t.groups = append(t.groups, p)
	}
	for _, g := range t.groups {
		if err := g.ask(ctx, askOpened, &struct{}{}); err != nil {
			return err
		}
	}
	after, err := t.spent()
	if err != nil {
		return err
	}
	t.opening = after.pd - before.pd
	if _, t.opened, err = t.report(ctx); err != nil {
		return err
	}
	_, err = t.awaitCalm(ctx)
	return err
}

// run makes the fault happen as often as is wanted.
func (t *crowdTrial) run(ctx context.Context) (hits []*crowdHit, err error) {
	for range max(1, t.crowd.Times) {
		h, err := t.hit(ctx)
		if err != nil {
			return nil, err
		}
		hits = append(hits, h)
	}
	return hits, nil
}

// hit makes the fault happen once, and waits until all clients are served again, or have had
// the time to be.
func (t *crowdTrial) hit(ctx context.Context) (*crowdHit, error) {
	leader, err := t.cluster.WaitLeader(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err := t.report(ctx); err != nil { // what has been before does not count
		return nil, err
	}
	h := new(crowdHit)
	if h.from, err = t.spent(); err != nil {
		return nil, err
	}
	h.begin = h.from
	s := &stage{cluster: t.cluster, leader: leader, clock: now}
	err = t.crowd.hit(ctx, s, func() (err error) {
		h.begin, err = t.spent()
		return err
	})
	if err != nil {
		return nil, err
	}
	if h.after, err = t.awaitCalm(ctx); err != nil {
		return nil, err
	}
	h.to = now()
	h.calls, h.counts, err = t.report(ctx)
	return h, err
}

// awaitCalm waits until all clients have been served for a while, or have had the time to be,
// and returns what has been spent meanwhile.
func (t *crowdTrial) awaitCalm(ctx context.Context) (readings []reading, err error) {
	const look, recent = 20 * time.Millisecond, crowdPause + 150*time.Millisecond
	began := now()
	for calmSince := began; ; {
		if err := wait(ctx, look); err != nil {
			return nil, err
		}
		served, err := t.served(ctx)
		if err != nil {
			return nil, err
		}
		r, err := t.spent()
		if err != nil {
			return nil, err
		}
		readings = append(readings, r)
		if served < r.at-int64(recent) {
			calmSince = r.at
		}
		if r.at-calmSince > int64(crowdCalm) || r.at-began > int64(crowdPatience) {
			return readings, nil
		}
	}
}

// served returns since when each client has been served.
func (t *crowdTrial) served(ctx context.Context) (since int64, err error) {
	for i, g := range t.groups {
		var s servedSince
		if err := g.ask(ctx, askServed, &s); err != nil {
			return 0, err
		}
		if i == 0 || s.Since < since {
			since = s.Since
		}
	}
	return since, nil
}

// report returns what the clients have done since the report before.
func (t *crowdTrial) report(ctx context.Context) (calls []groupCall, sent counts, err error) {
	sent = newCounts()
	for i, g := range t.groups {
		var r groupReport
		if err := g.ask(ctx, askReport, &r); err != nil {
			return nil, sent, err
		}
		for _, c := range r.Calls {
			c.Client = c.Client*len(t.groups) + i
			calls = append(calls, c)
		}
		sent.add(r.Counts)
	}
	return calls, sent, nil
}

// reading is what had been spent at a moment.
type reading struct {
	at          int64
	pd, clients time.Duration // processor time of all their processes
	memory      int64         // of PD's, in bytes
}

func (t *crowdTrial) spent() (r reading, err error) {
	r.at = now()
	for _, m := range t.cluster.Members() {
		spent, err := m.ProcessorTime()
		if err != nil {
			return r, err
		}
		memory, err := m.Memory()
		if err != nil {
			return r, err
		}
		r.pd += spent
		r.memory += memory
	}
	for _, g := range t.groups {
		spent, err := g.processorTime()
		if err != nil {
			return r, err
		}
		r.clients += spent
	}
	return r, nil
}

// close ends the clients.
func (t *crowdTrial) close() error {
	var errs []error
	for _, g := range t.groups {
		errs = append(errs, g.close())
	}
	return errors.Join(errs...)
}
