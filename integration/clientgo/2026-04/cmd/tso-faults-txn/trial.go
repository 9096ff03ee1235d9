package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tikv/pd/client/opt"

	"github.com/tsoring/tso/integration/bank"
	"github.com/tsoring/tso/integration/clientgo/2026-04/stack"
	"github.com/tsoring/tso/integration/faults"
	"github.com/tsoring/tso/integration/pdcluster"
)

const (
	// accounts are so many that few transactions conflict, which would wait for each other.
	accounts = 1024
	// tellers transfer once in a pause each: what there is to do leaves the processors time,
	// so that a slow transaction has not waited for them.
	tellers = 64
	pause   = 200 * time.Millisecond
	audits  = 500 * time.Millisecond
	// calm is how long everybody has to commit before a fault, and after it, and rest how
	// long ago the latest commit may be for that.
	calm = time.Second
	rest = 300 * time.Millisecond
	// watchInterval is how exactly it is known when the cluster served.
	watchInterval = 10 * time.Millisecond
	// watchedFor is how long is waited for that after a fault.
	watchedFor = 20 * time.Second
	// rowTimeout bounds a row, within the caller's context.
	rowTimeout = 3 * time.Minute
)

// outcome is what became of one client's transactions.
type outcome struct {
	client string
	bank.Result
	// wrong is what is wrong with the timestamps taken.
	wrong []string
}

// verdict is what a fault came to.
type verdict struct {
	// silence is the longest time in which no member served a timestamp, asked directly.
	silence  time.Duration
	outcomes []outcome
}

// subject is a bank at work over one client.
type subject struct {
	name  string
	stack *stack.Stack
	run   *bank.Run
}

// try lets a fault happen to banks at work, and tells what became of them. The cluster is as
// before when it returns.
func try(ctx context.Context, cluster *pdcluster.Cluster, row faults.Row, clients []client) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, rowTimeout)
	defer cancel()
	if err := faults.Settle(ctx, cluster); err != nil {
		return verdict{}, err
	}
	began := time.Now()
	watch, err := cluster.Watch("", watchInterval, func() int64 { return int64(time.Since(began)) })
	if err != nil {
		return verdict{}, err
	}
	var subjects []*subject
	for _, c := range clients {
		var s *subject
		if s, err = open(ctx, cluster, row, c); err != nil {
			break
		}
		subjects = append(subjects, s)
	}
	if err == nil {
		err = hit(ctx, cluster, row, subjects)
	}
	v := verdict{silence: longest(watch.Stop())}
	err = errors.Join(err, faults.Settle(ctx, cluster))
	outcomes, closing := stop(subjects)
	v.outcomes = outcomes
	return v, errors.Join(err, closing)
}

// longest returns the longest time between two moments that follow each other.
func longest(moments []int64) (d time.Duration) {
	for i := 1; i < len(moments); i++ {
		d = max(d, time.Duration(moments[i]-moments[i-1]))
	}
	return d
}

func open(ctx context.Context, cluster *pdcluster.Cluster, row faults.Row, c client) (*subject, error) {
	s, err := stack.Open(ctx, cluster.ClientURLs(), c.open(opt.WithForwardingOption(row.Options.Forwarding)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	b, err := bank.Open(ctx, s.Bank(), accounts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.name, err), s.Close())
	}
	return &subject{c.name, s, b.Start(bank.Load{Tellers: tellers, Pause: pause, Audits: audits})}, nil
}

// hit makes the fault happen, as often as the row says, and what it has left is undone under
// the load: a member that has been killed comes back.
func hit(ctx context.Context, cluster *pdcluster.Cluster, row faults.Row, subjects []*subject) error {
	if err := awaitCalm(ctx, subjects, rowTimeout); err != nil {
		return err
	}
	for range max(1, row.Times) {
		if err := row.Hit(ctx, cluster); err != nil {
			return err
		}
		if err := awaitCalm(ctx, subjects, watchedFor); err != nil && !errors.Is(err, errRestless) {
			return err
		}
	}
	if err := faults.Settle(ctx, cluster); err != nil {
		return err
	}
	if err := awaitCalm(ctx, subjects, watchedFor); !errors.Is(err, errRestless) {
		return err
	}
	return nil // a result, as the table shows
}

// errRestless is returned by awaitCalm if it did not get calm in time.
var errRestless = errors.New("not all commit in time")

// awaitCalm waits until all have committed for a while.
func awaitCalm(ctx context.Context, subjects []*subject, patience time.Duration) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began, calmSince := time.Now(), time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if slices.ContainsFunc(subjects, func(s *subject) bool { return s.run.Committed() > rest }) {
			calmSince = time.Now()
		}
		switch {
		case time.Since(calmSince) > calm:
			return nil
		case time.Since(began) > patience:
			return errRestless
		}
	}
}

// stop ends the work of all at the same time.
func stop(subjects []*subject) ([]outcome, error) {
	outcomes := make([]outcome, len(subjects))
	errs := make([]error, len(subjects))
	var all sync.WaitGroup
	for i, s := range subjects {
		all.Go(func() {
			result := s.run.Stop()
			errs[i] = s.stack.Close()
			outcomes[i] = outcome{s.name, result, stack.Check(s.stack.PD, s.stack.Taken)}
		})
	}
	all.Wait()
	return outcomes, errors.Join(errs...)
}
