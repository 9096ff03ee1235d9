package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tsoring/tso/bench/internal/child"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
)

// settle is how long a client may go on being busy with its start.
const settle = 2 * time.Second

// Idle measures processes that hold a client and do nothing, one for each rival, all at
// the same time, since they leave the machine to each other. The results are in the
// order of the rivals.
func (s *Site) Idle(ctx context.Context, what scenario.Scenario, duration time.Duration) ([]result.Result, error) {
	results := make([]result.Result, len(what.Rivals))
	errs := make([]error, len(what.Rivals))
	var all sync.WaitGroup
	for i, r := range what.Rivals {
		all.Go(func() {
			results[i], errs[i] = s.idle(ctx, r, duration)
			results[i].Scenario, results[i].Rival = what.Name(), r.Name
		})
	}
	all.Wait()
	return results, errors.Join(errs...)
}

func (s *Site) idle(ctx context.Context, r scenario.Rival, duration time.Duration) (result.Result, error) {
	task, err := json.Marshal(idleTask{Rival: r, Addrs: s.addrs, Duration: duration})
	if err != nil {
		return result.Result{}, err
	}
	p, err := child.Start(ctx, roleIdle, string(task))
	if err != nil {
		return result.Result{}, err
	}
	var measured result.Result
	err = json.Unmarshal([]byte(p.Line), &measured)
	return measured, errors.Join(err, p.Close())
}

// measure is what the process does.
func (t idleTask) measure() (result.Result, error) {
	ctx := context.Background()
	if t.Rival.Client != "" {
		s := &Site{addrs: t.Addrs}
		client, err := s.open(ctx, t.Rival)
		if err != nil {
			return result.Result{}, err
		}
		defer client.Close()
		if _, _, err := client.GetTS(ctx); err != nil {
			return result.Result{}, fmt.Errorf("%s: %w", t.Rival.Name, err)
		}
	}
	pause(settle)
	before := load.ReadRest()
	pause(t.Duration)
	rest := load.ReadRest().Sub(before)
	return result.Result{
		CPUShare: rest.CPU.Seconds() / rest.Wall.Seconds(),
		WakeUps:  float64(rest.WakeUps) / rest.Wall.Seconds(),
	}, nil
}

func pause(d time.Duration) { <-time.NewTimer(d).C }
