package tso

import (
	"context"
	"fmt"
	"iter"

	"github.com/tsoring/tso/batch"
)

// MaxTSBatch is the most timestamps that GetTSBatch can be asked for: ten RPCs of the most
// that one asks for. A Batch of them is 96 bytes, and they are 38 % of what PD can grant
// before its physical time moves on (2^18, each 50 ms), so that one call leaves room for
// other clients. At the most that PD grants they take 20 ms; with all four suffix bits
// (Local TSO), which leave it 2^14 at a time, half a second. More calls bring more, as fast.
const MaxTSBatch = maxParts * batch.MaxCount

// maxParts is the most RPCs of one GetTSBatch.
const maxParts = 10

// Batch is the timestamps of one GetTSBatch, in increasing order. It is a small value that
// refers to nothing: making, copying and going through one allocates nothing, and any number
// of goroutines may read it. The zero Batch is empty.
//
// The timestamps of one RPC, 10,000 or the rest, are evenly spaced: neighbours, or 1<<bits
// apart where PD keeps suffix bits (Local TSO). From one RPC to the next there may be a gap,
// with timestamps of other calls in it.
type Batch struct {
	// Those of RPC i begin at first[i], composed as by ComposeTS, and are step[i] apart.
	// All RPCs but the last bring batch.MaxCount.
	first [maxParts]uint64
	step  [maxParts]uint8
	count int32
}

// Len returns the number of timestamps.
func (b Batch) Len() int { return int(b.count) }

// At returns timestamp i, counted from 0. Where i is none of them it returns 0, 0, as a call
// that fails does.
func (b Batch) At(i int) (physical, logical int64) {
	if i < 0 || i >= int(b.count) {
		return 0, 0
	}
	part := i / batch.MaxCount
	return ExtractTS(b.first[part] + uint64(i%batch.MaxCount)*uint64(b.step[part]))
}

// All returns an iterator over the timestamps, physical and logical, in order.
func (b Batch) All() iter.Seq2[int64, int64] {
	return func(yield func(physical, logical int64) bool) {
		for i := range b.Len() {
			if !yield(b.At(i)) {
				return
			}
		}
	}
}

func (c *client) GetTSBatch(ctx context.Context, n int) (Batch, error) {
	if n < 1 || n > MaxTSBatch {
		return Batch{}, fmt.Errorf("%w: a batch of %d timestamps; ask for 1 to %d", ErrInvalidArgument, n, MaxTSBatch)
	}
	if err := usable(ctx); err != nil {
		return Batch{}, err
	}
	return c.global.getBatch(ctx, n)
}

// getBatch fetches n timestamps, 1 to MaxTSBatch. Each RPC's part is a request like any
// other, pushed in order and owned as any other is (request.go): so the parts increase as
// futures do, and a part keeps together whatever becomes of its stream.
func (l *lane) getBatch(ctx context.Context, n int) (Batch, error) {
	var room [maxParts]*request
	parts := room[:0]
	start := l.clock.Load()
	for left := n; left > 0; left -= batch.MaxCount {
		r := l.env.parts.call(ctx)
		r.weight = uint16(min(left, batch.MaxCount))
		if err := l.pushPart(ctx, r, start); err != nil {
			r.recycle() // it has not been pushed
			abandonAll(parts)
			return Batch{}, err
		}
		parts = append(parts, r)
	}
	b := Batch{count: int32(n)}
	for i, r := range parts {
		var err error
		if b.first[i], b.step[i], err = r.awaitRange(); err != nil {
			abandonAll(parts[i+1:])
			return Batch{}, err
		}
	}
	return b, nil
}

// abandonAll lets go of the parts behind one that has failed.
func abandonAll(parts []*request) {
	for _, r := range parts {
		r.abandon()
	}
}

// pushPart is push for a part of a call that began at start on the coarse clock. It does not
// wait for the batch interval, which is there to make batches of calls for one timestamp.
func (l *lane) pushPart(ctx context.Context, r *request, start int64) error {
	if err := l.add(ctx, r, start); err != nil {
		return err
	}
	if l.env.linger.Load() > 0 {
		l.flush.Store(true)
	}
	l.look()
	return nil
}
