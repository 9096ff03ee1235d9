package handover

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso"
)

// proves reports whether a side grants a timestamp above floor within the timeout.
func (h *Handover) proves(ctx context.Context, s side, floor uint64, timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for ctx.Err() == nil {
		ts, err := h.probe(ctx, s)
		if err == nil && ts > floor {
			return true
		}
		if err != nil && floor == 0 {
			return false
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
