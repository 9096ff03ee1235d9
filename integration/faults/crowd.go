package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
)

// crowdPause is how long a client of a crowd pauses between its calls: the load is not what is
// measured.
const crowdPause = 100 * time.Millisecond

// Crowd is a fault that many clients suffer at the same time, in a few processes. What it
// costs PD and them is measured, with one kind of client after the other, each on a
// cluster of its own.
type Crowd struct {
	// Name is what the table calls it.
	Name string
	// Count is the number of clients, and Groups that of their processes.
	Count, Groups int
	// Times is how often it happens in a run; 0 stands for once.
	Times int

	// kinds, if there are any, are the clients that it is for, which are not called.
	kinds []string
	// rest says that nothing happens, so that nobody has to be served again.
	rest bool
	// hit makes the fault happen. It calls begin when members that can serve begin to, if
	// that is later than when it is called.
	hit func(ctx context.Context, s *stage, begin func() error) error
}

// Crowds returns all faults for many, as `make faults` runs them.
func Crowds() []Crowd {
	const count, groups, outage = 200, 4, 10 * time.Second
	return []Crowd{
		CrowdAtRest(count, groups, outage),
		CrowdWithoutQuorum(count, groups, outage),
		CrowdResigned(count, groups),
		CrowdWatching(5*count, groups, outage),
	}
}

// CrowdAtRest lets nothing happen for a while, for comparison.
func CrowdAtRest(count, groups int, d time.Duration) Crowd {
	c := crowd(count, groups, fmt.Sprintf("no fault for %v", d), func(ctx context.Context, _ *stage, begin func() error) error {
		return errors.Join(wait(ctx, d), begin())
	})
	c.rest = true
	return c
}

// CrowdWithoutQuorum kills the leader and another member of three, and starts them again
// after a while. Nobody can lead until then.
func CrowdWithoutQuorum(count, groups int, d time.Duration) Crowd {
	return crowd(count, groups, fmt.Sprintf("no quorum for %v", d), func(ctx context.Context, s *stage, begin func() error) error {
		victims := []*pdcluster.Member{s.leader, s.other()}
		for _, m := range victims {
			if err := m.Kill(); err != nil {
				return err
			}
		}
		if err := errors.Join(wait(ctx, d), begin()); err != nil {
			return err
		}
		for _, m := range victims {
			if err := m.Launch(); err != nil {
				return err
			}
		}
		return nil
	})
}

// CrowdResigned makes the leader give up its office, on request.
func CrowdResigned(count, groups int) Crowd {
	c := crowd(count, groups, "leader resigns", func(ctx context.Context, s *stage, _ func() error) error {
		return s.cluster.Resign(ctx)
	})
	c.Times = 3
	return c
}

func crowd(count, groups int, name string, hit func(context.Context, *stage, func() error) error) Crowd {
	return Crowd{Name: fmt.Sprintf("%d clients: %s", count, name), Count: count, Groups: groups, hit: hit}
}

// Clients returns which kinds of clients a crowd is for, of the given ones if it is for those
// that are called.
func (c Crowd) Clients(of []string) []string {
	if len(c.kinds) > 0 {
		return c.kinds
	}
	return of
}

// RunCrowd runs a fault for many, with one kind of client.
func RunCrowd(ctx context.Context, c Crowd, client string) (*CrowdOutcome, error) {
	ctx, cancel := context.WithTimeout(ctx, rowTimeout)
	defer cancel()
	o, err := c.run(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("faults: %s, %s: %w", c.Name, client, err)
	}
	return o, nil
}

func (c Crowd) run(ctx context.Context, client string) (o *CrowdOutcome, err error) {
	cluster, err := pdcluster.Start(ctx, Direct.Config())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	t := &crowdTrial{crowd: c, cluster: cluster}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.open(ctx, client); err != nil {
		return nil, err
	}
	machine := watchMachine(now)
	hits, err := t.run(ctx)
	machine.stop()
	if err != nil {
		return nil, err
	}
	o = newCrowdOutcome(client, c, hits, machine)
	o.Opening, o.OpeningRPCs = t.opening, perClient(t.opened.RPCs, c.Count)
	return o, nil
}
