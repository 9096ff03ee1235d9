package load

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/impl"
)

func TestRun_QuotaEndsIt(t *testing.T) {
	for name, cfg := range map[string]Config{
		"calls":   {},
		"futures": {Window: 3},
		"open":    {Pace: Pace{Rate: 1e6}},
		"every":   {Pace: Pace{Every: time.Microsecond}},
		"think":   {Pace: Pace{Think: time.Microsecond}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Client, cfg.Callers, cfg.Quota = newFake(counting), 4, 10
			r := New(cfg)
			r.Start()
			<-r.Done()
			r.Stop(patience)
			var c Counts
			r.Read(&c)
			require.EqualValues(t, 40, c.Calls)
		})
	}
}

func TestRun_StopEndsAnOpenLoop(t *testing.T) {
	// The next call is due in a thousand seconds.
	r := New(Config{Client: newFake(counting), Callers: 3, Pace: Pace{Rate: 0.001}})
	r.Start()
	r.Stop(patience)
	<-r.schedule.ended
}

// A server that answers nobody for a while has kept all waiting who wanted to call
// meanwhile. A closed loop would count one call.
func TestRun_OpenLoopCountsTheWaitOfAll(t *testing.T) {
	const pause = 100 * time.Millisecond
	var once sync.Once
	client := newFake(func(_ context.Context, n uint64) (uint64, error) {
		once.Do(func() { <-time.NewTimer(pause).C })
		return n, nil
	})
	r := New(Config{Client: client, Callers: 1, Quota: 200, Pace: Pace{Rate: 1000}})
	r.Start()
	<-r.Done()
	r.Stop(patience)
	var c Counts
	r.Read(&c)
	require.GreaterOrEqual(t, c.Latency().P90, pause/2, "a quarter of the calls were due in the first half of the pause")
}

func TestRun_ViewsAreCalledInTurn(t *testing.T) {
	one, two := newFake(counting), newFake(counting)
	r := New(Config{Client: one, Views: []impl.Client{one, two}, Callers: 4, Quota: 5})
	r.Start()
	<-r.Done()
	r.Stop(patience)
	require.EqualValues(t, 10, one.n.Load())
	require.EqualValues(t, 10, two.n.Load())
}
