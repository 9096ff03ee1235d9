package bank

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errConflict = errors.New("conflict")
	errPlanted  = errors.New("planted")
)

// memory is a store in which a transaction that began before another's commit conflicts
// with that one.
type memory struct {
	mu       sync.Mutex
	data     map[string][]byte // guarded by mu; replaced by each commit
	version  int               // guarded by mu
	commits  int               // guarded by mu; those without a conflict
	onCommit func(n int, t *memoryTxn) error
}

type memoryTxn struct {
	store   *memory
	data    map[string][]byte
	version int
	writes  map[string][]byte
}

func (m *memory) store() Store {
	return Store{
		Begin: func() (Txn, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return &memoryTxn{m, m.data, m.version, make(map[string][]byte)}, nil
		},
		Conflict: func(err error) bool { return errors.Is(err, errConflict) },
	}
}

func (t *memoryTxn) Get(_ context.Context, keys ...[]byte) (map[string][]byte, error) {
	values := make(map[string][]byte)
	for _, key := range keys {
		values[string(key)] = t.data[string(key)]
	}
	return values, nil
}

func (t *memoryTxn) Set(key, value []byte) error {
	t.writes[string(key)] = value
	return nil
}

func (t *memoryTxn) Rollback() error { return nil }

func (t *memoryTxn) Commit(context.Context) error {
	m := t.store
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.version != m.version {
		return errConflict
	}
	m.commits++
	if m.onCommit != nil {
		if err := m.onCommit(m.commits, t); err != nil {
			return err
		}
	}
	data := maps.Clone(m.data)
	if data == nil {
		data = make(map[string][]byte)
	}
	maps.Copy(data, t.writes)
	m.data, m.version = data, m.version+1
	return nil
}

func work(t *testing.T, m *memory) Result {
	t.Helper()
	b, err := Open(t.Context(), m.store(), 10)
	require.NoError(t, err)
	r := b.Start(Load{Tellers: 8, Transfers: 500, Audits: time.Millisecond})
	return r.Wait()
}

func TestRun_KeepsTheBalance(t *testing.T) {
	r := work(t, new(memory))
	require.Equal(t, 500, r.Committed)
	require.Zero(t, r.Failed)
	require.Zero(t, r.Unbalanced)
	require.Positive(t, r.Audits)
	require.Len(t, r.Durations, r.Committed+r.Conflicts)
	require.Empty(t, r.Messages)
	require.LessOrEqual(t, r.Quantile(0.5), r.Longest())
	require.Equal(t, len(r.Durations), r.Slow(-1))
}

// A write that is lost is found, and what has failed is told.
func TestRun_SeesWhatIsPlanted(t *testing.T) {
	r := work(t, &memory{onCommit: func(n int, t *memoryTxn) error {
		switch n {
		case 100:
			return errPlanted
		case 200:
			clear(t.writes)
			t.writes["account-000000"] = amount(1)
		}
		return nil
	}})
	require.Equal(t, 1, r.Messages[errPlanted.Error()])
	require.Equal(t, 1, r.Failed)
	require.Positive(t, r.Unbalanced)
}

// What nobody could commit in is the run's silence, also at its end.
func TestRun_MeasuresSilence(t *testing.T) {
	entered, open := make(chan struct{}), make(chan struct{})
	m := &memory{}
	b, err := Open(t.Context(), m.store(), 10)
	require.NoError(t, err)
	enter := sync.OnceFunc(func() { close(entered) })
	m.onCommit = func(int, *memoryTxn) error {
		enter()
		<-open
		return nil
	}
	r := b.Start(Load{Tellers: 1})
	<-entered
	const silence = 20 * time.Millisecond
	time.AfterFunc(silence, func() { close(open) })
	<-open
	result := r.Stop()
	require.GreaterOrEqual(t, result.Silence, silence)
	require.GreaterOrEqual(t, result.Longest(), silence)
}

func TestTally_SeesWhatIsPlanted(t *testing.T) {
	tally := NewTally()
	for physical := range int64(10) {
		tally.Take(tally.Now(), physical+1, 0, nil)
	}
	require.Empty(t, tally.Violations())
	tally.Take(tally.Now(), 5, 0, nil)
	tally.Take(tally.Now(), 0, 0, errPlanted)
	require.NotEmpty(t, tally.Violations())
	taken, failed := tally.Counts()
	require.Equal(t, 11, taken)
	require.Equal(t, 1, failed)
}
