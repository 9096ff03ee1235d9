package member

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// refreshInterval is how often the members are asked without a reason, to notice those added or removed while the
// leader stays the same.
const refreshInterval = time.Minute

// Who asks for a round has met some trouble, and what the members say then may be out of date soon: a member that starts
// elsewhere is listed once it has joined. So they are asked again after settleFirst, and then after settleFactor times as
// long, until that is refreshInterval.
const (
	settleFirst  = 2 * time.Second
	settleFactor = 5
)

// refresh is one round to come, that any number of callers may wait for. err is written by the loop before it closes
// done, and read by the callers afterwards.
type refresh struct {
	done chan struct{}
	err  error
}

func newRefresh() *refresh { return &refresh{done: make(chan struct{})} }

// line is where callers wait for rounds of one kind. Any goroutine may ring and look at what is upcoming; one runs the rounds.
type line struct {
	kick     chan struct{}           // Holds one token while somebody wants a round.
	upcoming atomic.Pointer[refresh] // The round that will start next; replaced as it starts.
}

func (l *line) init() {
	l.kick = make(chan struct{}, 1)
	l.upcoming.Store(newRefresh())
}

func (l *line) ring() {
	select {
	case l.kick <- struct{}{}:
	default: // The last one has not been taken yet, and this one will be seen to with it.
	}
}

// begin returns the round that begins now, for all who have rung until then. The order matters: see wait.
func (l *line) begin() *refresh {
	select {
	case <-l.kick:
	default:
	}
	return l.upcoming.Swap(newRefresh())
}

// wait waits for the end of a round that begins after the call, and returns its error. It ends early with the error of ctx, or
// with ErrClosed.
func (m *Members) wait(ctx context.Context, l *line) error {
	// First get in line, then ring the bell. Who runs the rounds takes the bell before the line, so it cannot miss us: if it
	// took our line, that round is ours, and if not, it will hear the bell.
	mine := l.upcoming.Load()
	l.ring()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return ErrClosed
	}
}

// Refresh asks for the members to be looked up anew. It never blocks and may be called from any goroutine, as often as
// one likes: requests made before a round starts are served by that one round, and rounds back off while they bring
// nothing new. After Close it does nothing.
func (m *Members) Refresh() { m.rounds.ring() }

// RefreshWait is Refresh, and waits for the end of a round that started after the call. All who wait at the same time
// share one round. It returns the snapshot that is then valid and the round's error; with an error that is the last
// good one, never nil. It ends early with the error of ctx, or with ErrClosed.
//
// It may take as long as the back-off (up to 0.12 s) and a round (up to Config.Timeout) together.
func (m *Members) RefreshWait(ctx context.Context) (*Snapshot, error) {
	err := m.wait(ctx, &m.rounds)
	return m.Snapshot(), err
}

// loop is the one goroutine that changes the snapshot after New. It ends with m.ctx.
func (m *Members) loop() {
	var pace pacer
	interval := refreshInterval
	unasked := time.NewTimer(jitter(interval))
	defer unasked.Stop()
	for {
		select {
		case <-m.rounds.kick:
			interval = settleFirst
		case <-unasked.C:
			interval = min(settleFactor*interval, refreshInterval)
		case <-m.ctx.Done():
			return
		}
		if !sleep(m.ctx, pace.next(time.Now())) {
			return
		}
		m.runRefresh(&pace)
		unasked.Reset(jitter(interval))
	}
}

// runRefresh runs one round for all who asked until now.
func (m *Members) runRefresh(pace *pacer) {
	current := m.rounds.begin() // Also for whoever rang during the pause.
	pace.begin(time.Now())
	changed, err := m.update()
	pace.end(time.Now(), changed)
	current.err = err
	close(current.done)
}

// update asks all known addresses once and publishes what they say. When nobody says anything usable the last good
// snapshot stays.
func (m *Members) update() (changed bool, err error) {
	old := m.Snapshot()
	m.counters.refreshes.Add(1)
	p := &poll{
		secure: m.secure, clusterID: old.ClusterID, log: m.log,
		patient: m.lastRound.Load().failures%patientEvery == patientEvery-1,
	}
	next, err := m.round(m.ctx, old.URLs, p)
	if m.ctx.Err() != nil {
		return false, ErrClosed
	}
	m.counters.strangers.Add(uint64(p.strangers))
	if p.ours > 0 {
		m.candidate.Store(&p.candidate)
	}
	m.note(err)
	if err == nil {
		next.complete(m.seeds)
		if !next.equal(old) {
			m.publish(old, next)
			changed = true
		}
	}
	// After the publication, so that whoever loses a connection finds the new snapshot. Also without a change: an
	// address of an older snapshot, or a candidate of an older list, may have been asked for since.
	m.conns.retain(m.wanted())
	return changed, err
}

// wanted returns, sorted, the URLs that there is a reason to connect to.
func (m *Members) wanted() []string {
	urls := m.Snapshot().URLs
	for _, more := range []string{m.Candidate(), m.Office().Holder} {
		if at, known := slices.BinarySearch(urls, more); !known && more != "" {
			urls = slices.Insert(slices.Clone(urls), at, more)
		}
	}
	return urls
}

// outcome is how a round ended: an error that may be nil, and how many rounds in a row have failed.
type outcome struct {
	err      error
	failures int
}

// note records how a round ended. Only the first failure in a row is worth a warning, and of the others those that double
// their number a line: rounds are repeated ten times a second for as long as somebody waits for a leader.
func (m *Members) note(err error) {
	last := m.lastRound.Load()
	now := &outcome{err: err}
	if err != nil {
		now.failures = last.failures + 1
	}
	m.lastRound.Store(now)
	switch {
	case err == nil && last.err == nil:
	case err == nil:
		m.log.Info("PD members are answering again")
	case last.err == nil:
		m.counters.failures.Add(1)
		m.log.Warn("PD members could not be refreshed; keeping those known", zap.Error(err))
	default:
		m.counters.failures.Add(1)
		tell := m.log.Debug
		if now.failures&(now.failures-1) == 0 { // The 2nd, 4th, 8th …
			tell = m.log.Info
		}
		tell("PD members could still not be refreshed", zap.Int("failures", now.failures), zap.Error(err))
	}
}

func (m *Members) publish(old, next *Snapshot) {
	m.snapshot.Store(next)
	m.counters.changes.Add(1)
	if old.Leader != next.Leader {
		m.log.Info("PD leader changed", zap.String("from", old.Leader), zap.String("to", next.Leader))
	}
	if m.cfg.OnChange != nil {
		m.cfg.OnChange(next)
	}
}
