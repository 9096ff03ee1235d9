package faults

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tsoring/tso/integration/pdcluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errPlanted = errors.New("planted")

// planted is a client that, from a moment on, serves nobody for a while, fails once,
// and then hands out a timestamp twice.
type planted struct {
	client
	from    atomic.Pointer[time.Time]
	failed  atomic.Bool
	repeats atomic.Int64
	t       [2]int64
}

const plantedSilence = 400 * time.Millisecond

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
	switch p.repeats.Add(1) {
	case 1:
		p.t = [2]int64{physical, logical}
	case 200:
		return p.t[0], p.t[1], err
	}
	return physical, logical, err
}

// A run sees what a client does wrong, and what PD does it does not hold against it.
func TestRun_SeesWhatIsPlanted(t *testing.T) {
	cluster := pdcluster.StartT(t, Fast.Config())
	bad := new(planted)
	row := LeaderTransferred()
	row.Times = 1
	transfer := row.hit
	row.hit = func(ctx context.Context, s *stage) error {
		defer func() { now := time.Now(); bad.from.Store(&now) }()
		return transfer(ctx, s)
	}
	result, err := Run(t.Context(), row, Config{
		Cluster: cluster, Clients: []string{Ours},
		wrap: func(c client) client { bad.client = c; return bad },
	})
	require.NoError(t, err)
	o := result.Of(Ours)
	t.Logf("floors %v, %+v, missed: %s", result.Floors, o, result.Missed(3, 0))
	require.GreaterOrEqual(t, o.Adds, plantedSilence-50*time.Millisecond)
	require.Less(t, o.Adds, plantedSilence+time.Second)
	require.Equal(t, 1, o.Errors)
	require.Contains(t, o.Messages, errPlanted.Error())
	require.NotEmpty(t, o.Violations)
	require.GreaterOrEqual(t, o.Longest, plantedSilence-50*time.Millisecond)
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
