package member

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// The pause after the first failed try of New and after all later ones. A cluster that is being started together with
// its client should not cost a second; one that is not there should not be asked all the time.
const (
	firstFoundingDelay = 50 * time.Millisecond
	foundingDelayLimit = time.Second
)

// found makes the first snapshot, from the seeds alone: all that answer must belong to one cluster.
func (m *Members) found(ctx context.Context) error {
	var last error
	for try := 1; ; try++ {
		next, err := m.round(ctx, m.seeds, &poll{secure: m.secure, founding: true, log: m.log})
		if err == nil {
			next.complete(m.seeds)
			m.snapshot.Store(next)
			m.log.Info("found the PD cluster",
				zap.Uint64("cluster", next.ClusterID), zap.String("leader", next.Leader), zap.Strings("urls", next.URLs))
			return nil
		}
		if ctx.Err() != nil {
			// What earlier tries learned says more than a try that was cut off.
			return stoppedBy(ctx, cmp.Or(last, err))
		}
		last = err
		m.log.Warn("PD cluster not found yet", zap.Int("try", try), zap.Int("of", m.cfg.MaxRetry), zap.Error(err))
		if hopeless(err) || try == m.cfg.MaxRetry {
			return err
		}
		if !sleep(ctx, foundingDelay(try)) {
			return stoppedBy(ctx, last)
		}
	}
}

func stoppedBy(ctx context.Context, last error) error {
	return fmt.Errorf("stopped looking for the PD cluster: %w; last: %w", context.Cause(ctx), last)
}

// foundingDelay doubles from firstFoundingDelay to foundingDelayLimit, with jitter.
func foundingDelay(try int) time.Duration {
	d := foundingDelayLimit
	if shift := try - 1; shift < 5 {
		d = min(d, firstFoundingDelay<<shift)
	}
	return jitter(d)
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
