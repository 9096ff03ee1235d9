package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
)

// batches starts goroutines that make one call for n global timestamps after another. Each
// timestamp counts as a call.
func (l *load) batches(goroutines, n int, c tso.Client) {
	l.start(goroutines, n, func(log *history.Log) {
		start := log.Start()
		b, err := c.GetTSBatch(context.Background(), n)
		if err != nil {
			l.fail(start, err)
			return
		}
		end := l.recorder.Now()
		created := make([]uint64, 0, n)
		for physical, logical := range b.All() {
			t := checked(physical, logical)
			created = append(created, t)
			log.Add(history.Call{Start: start, End: end, T: t, Scope: history.Global})
		}
		if found := history.CreationOrder(created); found != nil || len(created) != n {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.creation = append(l.creation, found...)
		}
	})
}

func TestOneNode_HistoryWithBatchesIsInOrder(t *testing.T) {
	cluster := oneNode.use(t)
	const timestamps = 400_000
	l := newLoad(timestamps)
	for range 2 {
		client := connect(t, cluster.ClientURLs(), plain)
		l.callers(20, client, global)
		l.futures(8, 32, client, global)
		l.batches(4, 100, client)
		l.batches(1, 10_001, client)
		l.batches(1, 25_000, client)
		defer func() { t.Logf("%+v", client.Stats()) }()
	}
	r := l.wait()
	r.requireClean(t)
	require.GreaterOrEqual(t, len(r.calls), timestamps-100_000)
}

// One goroutine asks for as many timestamps as PD can grant. Then PD runs out of logical
// time, and sleeps over its answers for 50 ms at a time: should the stream be doubted, it goes on.
func TestOneNode_OneGoroutineTakesAllThatPDGrants(t *testing.T) {
	cluster := oneNode.use(t)
	client := connect(t, cluster.ClientURLs(), plain)
	ctx := bounded(t, time.Minute)
	const calls = 60
	before := client.Stats()
	var last uint64
	began := time.Now()
	for range calls {
		b, err := client.GetTSBatch(ctx, tso.MaxTSBatch)
		require.NoError(t, err)
		for physical, logical := range b.All() {
			if ts := tso.ComposeTS(physical, logical); ts > last {
				last = ts
				continue
			}
			t.Fatalf("(%d, %d) is not above what came before", physical, logical)
		}
	}
	took := time.Since(began)
	after := client.Stats()
	t.Logf("%.2f million timestamps a second, %+v", calls*tso.MaxTSBatch/took.Seconds()/1e6, after)
	require.EqualValues(t, calls*tso.MaxTSBatch, after.Timestamps-before.Timestamps)
	require.EqualValues(t, calls*tso.MaxTSBatch/10_000, after.RPCs-before.RPCs)
	require.Zero(t, after.BadAnswers+after.Fallbacks)
}

// With Local TSO, global timestamps leave room for those of the dc-locations. A batch of them
// is above all local ones before it, and below those after it.
func TestLocalTSO_BatchIsInOrderWithLocalTimestamps(t *testing.T) {
	t.Parallel()
	cluster := localTSO.use(t)
	client := connect(t, cluster.ClientURLs(), plain)
	ctx := bounded(t, time.Minute)
	var last uint64
	for range 5 {
		for _, s := range locals {
			before, err := composed(s.get(ctx, client))
			require.NoError(t, err)
			b, err := client.GetTSBatch(ctx, 12_000)
			require.NoError(t, err)
			require.Equal(t, 12_000, b.Len())
			all := []uint64{max(before, last)}
			for physical, logical := range b.All() {
				all = append(all, tso.ComposeTS(physical, logical))
			}
			last, err = composed(s.get(ctx, client))
			require.NoError(t, err)
			require.NoError(t, history.Err(history.CreationOrder(append(all, last))))
			require.Greater(t, all[2]-all[1], uint64(1), "suffix bits")
		}
	}
}
