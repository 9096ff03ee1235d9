package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
)

// How long New pauses after a round that failed, from its beginning to that of the next. A cluster that is being started
// together with its client should not cost a second; one that is not there should not be asked all the time. The quick rounds
// of the first second are one try (Config.MaxRetry), and each later round is one more.
const (
	firstFoundingDelay = 50 * time.Millisecond
	foundingDelayLimit = time.Second
)

// found makes the first snapshot, from the seeds alone: all that answer must belong to one cluster.
func (m *Members) found(ctx context.Context) error {
	timed := ctx
	if m.cfg.InitTimeout > 0 {
		var cancel context.CancelFunc
		timed, cancel = context.WithTimeout(ctx, m.cfg.InitTimeout)
		defer cancel()
	}
	var last error
	began, tries := time.Now(), 1
	for delay := firstFoundingDelay; ; delay = min(2*delay, foundingDelayLimit) {
		asked := time.Now()
		next, err := m.round(timed, m.seeds, &poll{secure: m.secure, founding: true, log: m.log})
		if err == nil {
			next.complete(m.seeds)
			m.snapshot.Store(next)
			m.log.Info("found the PD cluster",
				zap.Uint64("cluster", next.ClusterID), zap.String("leader", next.Leader), zap.Strings("urls", next.URLs))
			return nil
		}
		if timed.Err() != nil {
			// What earlier rounds learned says more than one that was cut off.
			return m.stoppedBy(ctx, cmp.Or(last, err))
		}
		pause := max(jitter(delay)-time.Since(asked), firstFoundingDelay)
		if time.Since(began)+pause >= foundingDelayLimit {
			tries++
		}
		if hopeless(err) || tries > m.cfg.MaxRetry {
			return err
		}
		m.warnOnce(last == nil, err)
		last = err
		if !sleep(timed, pause) {
			return m.stoppedBy(ctx, last)
		}
	}
}

// warnOnce tells of the first round that failed, aloud, for a configuration that cannot work looks like one that has to wait:
// silence. It may be what the caller is waiting for, so it says what ends it.
func (m *Members) warnOnce(first bool, err error) {
	switch {
	case !first:
		m.log.Debug("PD cluster still not found", zap.Error(err))
	case m.cfg.Warnings != nil:
		// The error of a standard error that is closed has nowhere to go.
		_, _ = fmt.Fprintf(m.cfg.Warnings, "%s tso: PD cluster not found yet at %s: %v; asking on, %s\n",
			time.Now().Format(time.DateTime), strings.Join(m.seeds, ", "), err, m.untilWhen())
	default:
		m.log.Warn("PD cluster not found yet; asking on, "+m.untilWhen(), zap.Strings("addresses", m.seeds), zap.Error(err))
	}
}

// untilWhen says for how long New asks.
func (m *Members) untilWhen() string {
	until := fmt.Sprintf("about once a second and %d times at most (WithMaxErrorRetry)", m.cfg.MaxRetry)
	if m.cfg.InitTimeout > 0 {
		return fmt.Sprintf("%s, for %v at most (WithInitTimeout)", until, m.cfg.InitTimeout)
	}
	return until + "; to bound the time use WithInitTimeout"
}

// stoppedBy returns the error of a search that was cut off, by ctx or by InitTimeout. Either way it Is the context's own error.
func (m *Members) stoppedBy(ctx context.Context, last error) error {
	const stopped = "stopped looking for the PD cluster"
	err := ctx.Err()
	if err == nil {
		return fmt.Errorf("%s after %v (WithInitTimeout): %w; last: %w", stopped, m.cfg.InitTimeout, context.DeadlineExceeded, last)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%s: %w (%w); last: %w", stopped, err, cause, last)
	}
	return fmt.Errorf("%s: %w; last: %w", stopped, context.Cause(ctx), last)
}

// sleep waits for d. It returns false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
