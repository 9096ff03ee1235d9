package handover

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso"
)

// proofTimeout bounds how long calls wait for the proof of the side that comes.
const proofTimeout = 2 * time.Second

// seems reports whether a side grants timestamps, and whether those may soon be above all that
// have been handed out.
func (h *Handover) seems(ctx context.Context, s side) (able, near bool) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	ts, err := h.probe(ctx, s)
	before, _ := tso.ExtractTS(h.floor())
	physical, _ := tso.ExtractTS(ts)
	return err == nil, physical > before-proofTimeout.Milliseconds()/2
}

// proves reports whether a side grants a timestamp above floor soon.
func (h *Handover) proves(ctx context.Context, s side, floor uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	for ctx.Err() == nil {
		if ts, err := h.probe(ctx, s); err == nil && ts > floor {
			return true
		}
		sleep(ctx, retryPause)
	}
	return false
}

// probe asks a side for a timestamp of nobody's.
func (h *Handover) probe(ctx context.Context, s side) (uint64, error) {
	if s == ours {
		physical, logical, err := h.client.GetTS(ctx)
		return tso.ComposeTS(physical, logical), err
	}
	return h.probes.ask(ctx, h.ask)
}

// prober asks upstream in a goroutine of its own, since upstream may block whatever the
// context; there is one question at a time.
type prober struct {
	asking  atomic.Bool
	running *sync.WaitGroup
}

var errBlocked = errors.New("PD's own client does not come to answer")

func (p *prober) ask(ctx context.Context, ask func(context.Context) Future) (uint64, error) {
	if p.asking.Swap(true) {
		return 0, errBlocked
	}
	type answer struct {
		ts  uint64
		err error
	}
	answers := make(chan answer, 1)
	p.running.Go(func() {
		defer p.asking.Store(false)
		physical, logical, err := ask(ctx).Wait()
		answers <- answer{tso.ComposeTS(physical, logical), err}
	})
	select {
	case a := <-answers:
		return a.ts, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
