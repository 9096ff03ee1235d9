package member

import (
	"context"
	"errors"
	"time"
)

// That all addresses belong to another cluster is final, and told to all callers, so it takes more than a round, which ends
// long before members have answered that are far, frozen, or being started. It is found out beside the rounds, which go on.

const (
	// thoroughGrace is longer than any question: all who are asked have Config.Timeout.
	thoroughGrace = 24 * time.Hour
	// thoroughPause is the pause before somebody is asked again who could not be.
	thoroughPause = 100 * time.Millisecond
)

// CheckCluster asks all known addresses and the seeds which cluster they belong to, each on a new connection if the one that
// there is leads to another cluster. It returns ErrClusterMismatch if all have named another cluster, or have had
// Config.Timeout to name ours; nil as soon as one has; and another error if nobody has said anything. All who wait at the
// same time share a round that started after their call. It ends early with the error of ctx, or with ErrClosed.
func (m *Members) CheckCluster(ctx context.Context) error { return m.wait(ctx, &m.checks) }

// checkLoop runs the rounds of CheckCluster. It ends with m.ctx.
func (m *Members) checkLoop() {
	var pace pacer
	for {
		select {
		case <-m.checks.kick:
		case <-m.ctx.Done():
			return
		}
		if !sleep(m.ctx, pace.next(time.Now())) {
			return
		}
		current := m.checks.begin()
		pace.begin(time.Now())
		current.err = m.check()
		pace.end(time.Now(), false)
		close(current.done)
	}
}

func (m *Members) check() error {
	known := m.Snapshot()
	p := &poll{secure: m.secure, clusterID: known.ClusterID, log: m.log, thorough: true}
	_, err := m.round(m.ctx, known.URLs, p)
	switch {
	case m.ctx.Err() != nil:
		return ErrClosed
	case p.ours > 0 && !errors.Is(err, ErrClusterMismatch):
		return nil
	default:
		return err
	}
}
