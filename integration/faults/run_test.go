package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tsoring/tso/integration/pdcluster"
)

func TestMain(m *testing.M) {
	switch isGroup, err := PlayGroup(); {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !isGroup:
		goleak.VerifyTestMain(m)
	}
}

var errPlanted = errors.New("planted")

// planted is a client that, from a moment on, serves nobody for a while, fails once,
// and then hands out a timestamp twice.
type planted struct {
	client
	from   atomic.Pointer[time.Time]
	failed atomic.Bool
	served atomic.Int64
	first  atomic.Pointer[[2]int64] // that has been handed out since
	done   chan struct{}            // closed when it has been handed out again
}

// plantedSilence is long beside what a busy machine makes everybody silent for, which a
// client is not blamed for.
const plantedSilence = time.Second

// begin plants everything, and returns when it has happened.
func (p *planted) begin(ctx context.Context) error {
	now := time.Now()
	p.from.Store(&now)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *planted) get(ctx context.Context, dc string) (physical, logical int64, err error) {
	from := p.from.Load()
	if from == nil {
		return p.client.get(ctx, dc)
	}
	if err := wait(ctx, time.Until(from.Add(plantedSilence))); err != nil {
		return 0, 0, err
	}
	if p.failed.CompareAndSwap(false, true) {
		return 0, 0, errPlanted
	}
	physical, logical, err = p.client.get(ctx, dc)
	if err != nil || p.first.CompareAndSwap(nil, &[2]int64{physical, logical}) {
		return physical, logical, err
	}
	// Each of the callers has had later ones by now.
	if p.served.Add(1) == 200 {
		defer close(p.done)
		return p.first.Load()[0], p.first.Load()[1], nil
	}
	return physical, logical, nil
}

// A run sees what a client does wrong, and what PD does it does not hold against it. PD's
// own timing keeps it from another election where the machine is busy.
func TestRun_SeesWhatIsPlanted(t *testing.T) {
	cluster := pdcluster.StartT(t, Default.Config())
	bad := &planted{done: make(chan struct{})}
	row := LeaderTransferred()
	row.Times = 1
	transfer := row.hit
	row.hit = func(ctx context.Context, s *stage) error {
		if err := transfer(ctx, s); err != nil {
			return err
		}
		// Who led may still do so: what is planted comes after PD's own silence.
		if err := s.awaitOther(ctx); err != nil {
			return err
		}
		return bad.begin(ctx)
	}
	result, err := Run(t.Context(), row, Config{
		Cluster: cluster, Clients: []string{Ours},
		wrap: func(c client) client { bad.client = c; return bad },
	})
	require.NoError(t, err)
	o := result.Of(Ours)
	t.Logf("floors %v, %+v, missed: %s", result.Floors, o, result.Missed(3, 0))
	require.GreaterOrEqual(t, o.Adds, plantedSilence/2)
	require.Less(t, o.Adds, plantedSilence+time.Second)
	require.Equal(t, 1, o.Errors)
	require.Contains(t, o.Messages, errPlanted.Error())
	require.NotEmpty(t, o.Violations)
	require.GreaterOrEqual(t, o.Longest, plantedSilence/2)
	for _, text := range []string{"added", "1 errors", "violations"} {
		require.Contains(t, result.Missed(3, 0), text)
	}
}

// A client that has not come back when the run ends is not taken for one that has.
func TestRun_SeesWhoDoesNotRecover(t *testing.T) {
	tr := &trial{
		row: LeaderKilled(), clock: func() int64 { return 0 }, dcs: []string{""},
		machine: new(machine), window: span{0, int64(10 * time.Second)},
	}
	s := newSubject(Ours, nil, tr.dcs, tr.clock)
	log := s.recorder.NewLog(4)
	log.EndScope(0, 1<<18, 0)
	tr.subjects = []*subject{s}
	r := tr.result([][]span{{{int64(time.Second), int64(3 * time.Second)}}}, nil)
	require.False(t, r.Of(Ours).Recovered)
	require.InDelta(t, 8*time.Second, r.Of(Ours).Adds, float64(time.Second))
}
