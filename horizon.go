package tso

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// A timestamp is valid up to the year 4199, and one that has been handed out is held against
// all that come later. So one answer with a wrong physical time would make fallbacks of all
// that are right. PD itself lets nobody move its time by more than a day (max-gap-reset-ts):
// an answer that is further ahead of the largest timestamp handed out
// than the time since, and that, is not believed. Neither is the wall clock, which may be
// what is wrong.
//
// PD's own time may be moved by other means, and the client's clock may have stood still, as
// on a machine that was suspended: if the leader insists, it is believed.

// errFarAhead is why a stream ends whose member has answered with such a time.
var errFarAhead = errors.New("physical time far ahead")

const (
	// farAhead is how far a physical time may be ahead, beyond the time that has passed.
	farAhead = 25 * time.Hour
	// farGrace is for how long the leader has to insist on one that is further ahead.
	farGrace = 10 * time.Second
	// neverSet is the year 2000 in milliseconds: a clock that tells an earlier time has not
	// been set, as when a machine starts without a battery, and will be soon.
	neverSet = 946_684_800_000
)

// mark is the largest timestamp handed out in a scope, and when. Before the first it is zero.
type mark struct {
	ts uint64
	at int64 // on the lane's clock
}

// covers reports whether a physical time can have come about by now. After nothing, or the
// time of a clock that was not set, any can.
func (m mark) covers(physical, now int64) bool {
	since := time.Duration(now - m.at)
	before := int64(m.ts >> logicalBits)
	return before < neverSet || physical <= before+(since+farAhead).Milliseconds()
}

// jump is what the answers of a lane since the last good one have said of a physical time far
// ahead. Each is of another stream, since each ends its own. Of the run goroutine.
type jump struct {
	first mark   // what the first of those that agree said, and when
	url   string // of the leader, who said so
}

// believe reports whether a physical time far ahead can be used: the leader at url, "" if it
// is somebody else, has said so for long enough, and always the same.
func (j *jump) believe(physical, now int64, url string) bool {
	if url == "" {
		return false
	}
	ts := ComposeTS(physical, 0)
	if j.first.ts == 0 || j.url != url || ts < j.first.ts || !j.first.covers(physical, now) {
		*j = jump{first: mark{ts: ts, at: now}, url: url}
	}
	return now-j.first.at >= int64(farGrace)
}

// checkTime returns why the physical time of an answer cannot be right, or nil. What the
// first answer of a client's life says may be anything; the first of each further lane is
// held against that, since all scopes of a cluster have the same time. On the run goroutine.
func (l *lane) checkTime(physical, now int64) error {
	before := l.high
	if first := l.env.firstMark.Load(); before.ts == 0 && first != nil {
		before = *first
	}
	if before.covers(physical, now) {
		l.jump = jump{}
		return nil
	}
	told := time.UnixMilli(physical).UTC()
	if !l.jump.believe(physical, now, l.namedLeader()) {
		return fmt.Errorf("%w: %v, when %v was handed out %v ago",
			errFarAhead, told, time.UnixMilli(int64(before.ts>>logicalBits)).UTC(), time.Duration(now-before.at).Round(time.Second))
	}
	l.jump = jump{}
	l.env.firstMark.Store(&mark{ts: ComposeTS(physical, 0), at: now})
	l.env.stats.timeJumps.Add(1)
	l.env.log.Error("PD's physical time is far ahead of its timestamps before, and is believed now, since the leader insists",
		zap.String("dc-location", l.dc), zap.Time("physical", told))
	return nil
}

// namedLeader returns the URL of the member that the lane's stream leads to, "" if the list
// names another one. On the run goroutine.
func (l *lane) namedLeader() string {
	if a := l.dialed.Load(); a != nil && a.target == l.env.target(l.dc) {
		return a.target
	}
	return ""
}

// handOut notes the largest timestamp that is about to be handed out. On the run goroutine.
func (l *lane) handOut(ts uint64, now int64) {
	first := l.high.ts == 0
	l.high = mark{ts: ts, at: now}
	if l.dc == globalDC {
		l.env.stats.highest.Store(ts)
	}
	if first {
		once := l.high
		l.env.firstMark.CompareAndSwap(nil, &once)
	}
}
