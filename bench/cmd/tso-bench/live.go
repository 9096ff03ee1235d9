package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/text"
)

// live prints a line each second. What it needs for that it has beforehand.
type live struct {
	out    io.Writer
	client impl.Client
	began  time.Time

	latest, before, second load.Counts
	at                     time.Duration // of latest
	seen                   []uint64      // a timestamp of each second
}

// newLive returns a live that has seen the timestamp first.
func newLive(out io.Writer, client impl.Client, first uint64) *live {
	return &live{out: out, client: client, began: time.Now(), seen: []uint64{first}}
}

// follow prints lines until the duration is over or ctx ends, and tells whether
// it was ctx. A duration of 0 never ends.
func (l *live) follow(ctx context.Context, run *load.Run, duration time.Duration) (early bool) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var end <-chan time.Time
	if duration > 0 {
		timer := time.NewTimer(duration)
		defer timer.Stop()
		end = timer.C
	}
	for {
		select {
		case <-tick.C:
			l.print(run)
		case <-end:
			// The line of the last second is due now, too: without it a run of
			// a second would show none.
			if time.Since(l.began)-l.at > time.Second/2 {
				l.print(run)
			}
			return false
		case <-ctx.Done():
			return true
		}
	}
}

// print prints the line for the time since the one before.
func (l *live) print(run *load.Run) {
	now := time.Since(l.began)
	l.before, l.latest = l.latest, l.before
	run.Read(&l.latest)
	l.second.Diff(&l.latest, &l.before)
	fmt.Fprintln(l.out, line(now, now-l.at, &l.second, l.client.Leader()))
	l.at = now
	if l.second.Calls > 0 {
		l.seen = append(l.seen, l.latest.Last)
	}
}

// line is one line. Its columns keep their places, so that numbers can be
// compared from line to line.
func line(now, interval time.Duration, second *load.Counts, leader string) string {
	p50, p99 := "-", "-"
	if second.Calls > 0 {
		latency := second.Latency()
		p50, p99 = text.Latency(latency.P50), text.Latency(latency.P99)
	}
	return fmt.Sprintf("%7s  %10s ts/s  p50 %8s  p99 %8s  errors %s  leader %s",
		now.Round(time.Second), text.Rate(second.Calls, interval),
		p50, p99, text.Count(second.Errors), leaderName(leader))
}

func leaderName(url string) string {
	if url == "" {
		return "unknown"
	}
	return text.Host(url)
}

// samples returns a few of the timestamps seen, oldest first: the first, one from
// the middle, and the last.
func (l *live) samples(last uint64) []uint64 {
	all := l.seen
	if last > all[len(all)-1] {
		all = append(all, last)
	}
	if len(all) <= 3 {
		return all
	}
	return []uint64{all[0], all[len(all)/2], all[len(all)-1]}
}
