package tso

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The queue against a slice, with what comes back put in front.
func TestBatchQueueIsInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	var q batchQueue
	var want []*requestBatch
	for range 10_000 {
		switch random.IntN(9) {
		case 0, 1, 2, 3:
			b := &requestBatch{}
			q.push(b)
			want = append(want, b)
		case 4:
			if random.IntN(20) > 0 {
				continue
			}
			back := make([]*requestBatch, 1+random.IntN(3*minQueue))
			for i := range back {
				back[i] = &requestBatch{}
			}
			q.restore(back)
			want = append(back, want...)
		default:
			if len(want) == 0 {
				continue
			}
			require.Same(t, want[0], q.oldest())
			require.Same(t, want[0], q.pop())
			want = want[1:]
			if random.IntN(4) == 0 {
				rest := &requestBatch{}
				q.unpop(rest)
				want = append([]*requestBatch{rest}, want...)
			}
		}
		require.Equal(t, len(want), q.length)
	}
	require.NotEmpty(t, want)
	for _, b := range want {
		require.Same(t, b, q.pop())
	}
	for _, b := range q.slots {
		require.Nil(t, b, "a batch that has left is not held on to")
	}
}

func TestBatchQueueAllocatesOnlyToGrow(t *testing.T) {
	var q batchQueue
	b := &requestBatch{}
	for range 20 {
		q.push(b)
	}
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		q.push(b)
		q.pop()
	}))
}

// Batches come and go for as long as there is no stream, and never all at once.
func TestQueueIsNotLargerThanWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(func(string, *atomic.Int64) tsoStream { return nil })
		e.budget = 10 * time.Millisecond
		l := startLane(t, e)
		var calls sync.WaitGroup
		for range 10_000 {
			calls.Go(func() { _, _, _ = pushNew(t, l, context.Background()).Wait() })
			time.Sleep(time.Millisecond)
		}
		calls.Wait()
		synctest.Wait()
		require.Zero(t, l.queue.length)
		require.LessOrEqual(t, len(l.queue.slots), 128, "some 25 wait at a time")
	})
}
