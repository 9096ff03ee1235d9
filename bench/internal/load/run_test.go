package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/internal/history"
)

// patience bounds waits that normally take microseconds.
const patience = 10 * time.Second

// fake is a client that does as a test says.
type fake struct {
	get    func(ctx context.Context, n uint64) (uint64, error) // n counts from 1
	n      atomic.Uint64
	closed chan struct{}
	once   sync.Once
}

func newFake(get func(ctx context.Context, n uint64) (uint64, error)) *fake {
	return &fake{get: get, closed: make(chan struct{})}
}

func (f *fake) GetTS(ctx context.Context) (physical, logical int64, err error) {
	ts, err := f.get(ctx, f.n.Add(1))
	physical, logical = tso.ExtractTS(ts)
	return physical, logical, err
}

func (f *fake) GetTSAsync(ctx context.Context) impl.Future {
	ts, err := f.get(ctx, f.n.Add(1))
	return &settled{ts, err}
}

func (f *fake) Leader() string    { return "" }
func (f *fake) Stats() impl.Stats { n := int64(f.n.Load()); return impl.Stats{RPCs: n, Timestamps: n} }
func (f *fake) Close()            { f.once.Do(func() { close(f.closed) }) }

// settled is a future that has come.
type settled struct {
	ts  uint64
	err error
}

func (s *settled) Wait() (physical, logical int64, err error) {
	physical, logical = tso.ExtractTS(s.ts)
	return physical, logical, s.err
}

// runUntil runs a load until the client has been called n times.
func runUntil(t *testing.T, cfg Config, n uint64) *Run {
	t.Helper()
	r := New(cfg)
	r.Start()
	require.Eventually(t, func() bool { return cfg.Client.Stats().RPCs >= int64(n) }, patience, time.Millisecond)
	r.Stop(patience)
	return r
}

func counting(_ context.Context, n uint64) (uint64, error) { return n, nil }

func TestRun_CountsEveryCall(t *testing.T) {
	for name, window := range map[string]int{"calls": 0, "futures": 7} {
		t.Run(name, func(t *testing.T) {
			client := newFake(counting)
			checker := history.NewOnline(history.Contract, 0)
			// One caller: the fake's timestamps are ordered only for that.
			r := runUntil(t, Config{
				Client: client, Callers: 1, Window: window, Cancelable: true, Check: checker.Scope(history.Global),
			}, 100)
			var m Reading
			r.Measure(&m)
			require.EqualValues(t, client.n.Load(), m.Calls)
			require.EqualValues(t, client.n.Load(), checker.Calls())
			require.EqualValues(t, client.n.Load(), m.Stats.RPCs)
			require.NoError(t, checker.Err())
			require.Positive(t, m.Wall)
		})
	}
}

func TestRun_TellsErrorsByKind(t *testing.T) {
	client := newFake(func(_ context.Context, n uint64) (uint64, error) {
		switch n % 4 {
		case 0:
			return 0, tso.ErrBudgetSpent
		case 1, 2:
			return 0, errors.New("strange")
		}
		return n, nil
	})
	r := runUntil(t, Config{Client: client, Callers: 8}, 40)
	faults := r.Errors()
	require.Len(t, faults, 2)
	require.Equal(t, "other", faults[0].Kind)
	require.EqualError(t, faults[0].Last, "strange")
	require.Equal(t, "budget spent", faults[1].Kind)
	var c Counts
	r.Read(&c)
	require.Equal(t, c.Errors, faults[0].Count+faults[1].Count)
}

func TestRun_FindsFuturesOutOfOrder(t *testing.T) {
	client := newFake(func(_ context.Context, n uint64) (uint64, error) {
		return n ^ 1, nil // 1 before 0, 3 before 2, ...
	})
	r := runUntil(t, Config{Client: client, Callers: 1, Window: 4}, 20)
	first, total := r.Violations()
	require.Len(t, first, creationKept)
	require.Equal(t, history.KindCreation, first[0].Kind)
	require.GreaterOrEqual(t, total, int64(creationKept))
}

func TestRun_StopCancelsWhatHangs(t *testing.T) {
	client := newFake(func(ctx context.Context, _ uint64) (uint64, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	r := runUntilHung(client)
	require.Empty(t, r.Errors(), "the end of the run is no error")
}

func TestRun_StopClosesAClientThatIgnoresContexts(t *testing.T) {
	var client *fake
	client = newFake(func(context.Context, uint64) (uint64, error) {
		<-client.closed
		return 0, tso.ErrClosed
	})
	r := runUntilHung(client)
	require.Empty(t, r.Errors())
}

// runUntilHung stops a run whose calls do not return by themselves.
func runUntilHung(client *fake) *Run {
	r := New(Config{Client: client, Callers: 3, Cancelable: true})
	r.Start()
	r.Stop(time.Millisecond)
	return r
}

func TestCaller_RecordingAllocatesNothing(t *testing.T) {
	checker := history.NewOnline(history.Contract, 0)
	r := New(Config{Client: newFake(counting), Callers: 1, Check: checker.Scope(history.Global)})
	r.began = time.Now()
	c, n := r.callers[0], int64(0)
	once := func() {
		n++
		c.finish(c.begin(), 1, n, nil)
	}
	once() // makes a page of the checker's window
	require.Zero(t, testing.AllocsPerRun(100, once))
}

func TestKindOf_PrefersWhatMattersMost(t *testing.T) {
	err := errors.Join(tso.ErrBudgetSpent, tso.ErrTimestampFallback)
	require.Equal(t, "timestamp fallback", kindOf(err))
}
