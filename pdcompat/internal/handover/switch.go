package handover

import (
	"context"
	"time"

	"go.uber.org/zap"
)

const (
	// lookEvery is how often the mode is looked at where nothing suggests it, as upstream
	// does. It is also the longest pause, and dueFirst the first, between tries while a
	// handover is due and the side that is to serve does not yet.
	lookEvery = 3 * time.Second
	dueFirst  = 200 * time.Millisecond
	// openFirst and openLast are the first and the longest pause before ours is made again
	// where it could not be.
	openFirst = 3 * time.Second
	openLast  = time.Minute
)

// run hands timestamps over whenever the mode changes, until ctx ends.
func (h *Handover) run(ctx context.Context) {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	pause := openFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-h.nudged:
		}
		if h.client == nil { // written by this goroutine, or before it began
			err := h.open(ctx)
			if final(err) {
				return
			}
			if err != nil {
				pause = min(2*pause, openLast)
				timer.Reset(pause)
				continue
			}
		}
		timer.Reset(h.round(ctx))
	}
}

// round looks at the mode once, and hands over if it has changed. It returns the pause
// before the next.
func (h *Handover) round(ctx context.Context) time.Duration {
	if h.cfg.ServerProxy {
		return h.turnIfNeeded(ctx, ours)
	}
	switch h.look(ctx) {
	case byPD:
		return h.turnIfNeeded(ctx, ours)
	case serviceOfItsOwn:
		return h.turnIfNeeded(ctx, upstream)
	default:
		return lookEvery
	}
}

func (h *Handover) turnIfNeeded(ctx context.Context, to side) time.Duration {
	from, why := h.serves()
	switch {
	case from == to:
		h.explain(whyFor(to)) // it could not be known before
	case !h.handOver(ctx, from, to, why):
		h.due = min(max(dueFirst, 2*h.due), lookEvery)
		return h.due
	}
	h.due = 0
	return lookEvery
}

func (h *Handover) serves() (s side, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.side, h.why
}

// handOver makes a side serve, and reports whether it does. Calls wait only when that side
// has been seen to grant timestamps that are not far below those handed out.
func (h *Handover) handOver(ctx context.Context, from, to side, why string) bool {
	able, near := h.seems(ctx, to)
	if !able {
		return false
	}
	if near {
		h.stop(from)
		if from == ours {
			h.drain(ctx)
		}
		if h.proves(ctx, to, h.floor()) {
			h.begin(to, whyFor(to))
			h.refused = false
			h.handovers.Add(1)
			h.say(to, whyFor(to))
			return true
		}
		h.begin(from, why)
	}
	if !h.refused {
		h.refused = true
		h.cfg.Log.Error("timestamps stay where they come from: the other side grants none above those handed out",
			zap.Bool("upstream", from == upstream), zap.Uint64("handed-out", h.floor()))
	}
	return false
}

// explain says anew why the side serves that does.
func (h *Handover) explain(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = why
}

// say logs who serves from now on.
func (h *Handover) say(s side, why string) {
	if s == upstream {
		h.cfg.Log.Warn("timestamps come from PD's own client", zap.String("why", why))
	} else {
		h.cfg.Log.Info("timestamps come from this library's client")
	}
}

func whyFor(s side) string {
	if s == upstream {
		return ownService
	}
	return ""
}

// stop has new calls wait, and takes back those that upstream has.
func (h *Handover) stop(from side) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turnTo(neither, h.why)
	if from == upstream {
		h.takeBackAll()
	}
}

// turnTo makes a side serve, and gives it the calls that wait. Under mu.
func (h *Handover) turnTo(s side, why string) {
	h.side, h.why, h.calls.failure = s, why, nil
	switch s {
	case ours:
		if h.needed == nil {
			h.needed = make(chan struct{})
		}
		h.giveToOurs()
		h.direct.Store(&h.client) // only now: see direct
	case upstream:
		h.direct.Store(nil)
		if h.needed != nil {
			close(h.needed)
			h.needed = nil
		}
		wake(h.calls.toGive)
	case neither:
		h.direct.Store(nil)
	}
}

// drain waits for the calls that ours has. It serves calls in the order in which they came,
// so when one more has ended, so have those. Where ours does not serve, that takes a call's
// budget: a future that ours still has could come behind those of the other side.
func (h *Handover) drain(ctx context.Context) { _, _, _ = h.client.GetTS(ctx) }

// floor is what timestamps of the side that comes must be above.
func (h *Handover) floor() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.highest = max(h.highest, h.client.Stats().Highest)
	return h.highest
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
