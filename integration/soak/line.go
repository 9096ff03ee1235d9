package soak

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// tell writes a line each second until ctx ends, and looks for stuck callers.
func (r *run) tell(ctx context.Context) {
	var before [outcomeCount]int64
	for last := time.Now(); wait(ctx, time.Second); {
		longest := r.look()
		var now, since [outcomeCount]int64
		for i := range now {
			now[i] = r.ledger.outcomes[i].Load()
			since[i] = now[i] - before[i]
		}
		before = now
		passed := time.Since(last)
		last = last.Add(passed)
		fmt.Fprintln(r.cfg.Out, r.line(since, passed, longest))
	}
}

// line is what a second was like.
func (r *run) line(since [outcomeCount]int64, passed, longest time.Duration) string {
	fault := "-"
	if name := r.nemesis.now.Load(); name != nil {
		fault = *name
	}
	var errors []string
	for i := served + 1; i < outcomeCount; i++ {
		if since[i] > 0 {
			errors = append(errors, fmt.Sprintf("%s %d", outcomeNames[i], since[i]))
		}
	}
	return fmt.Sprintf("%7.1fs %6.0f calls/s  p99 %-7v longest now %-7v %5d goroutines %3d fds %5.1f MiB  %s  [%s]%s",
		time.Duration(r.clock()).Seconds(), float64(since[served])/passed.Seconds(),
		short(r.ledger.latency.takeP99()), short(longest), runtime.NumGoroutine(), descriptors(),
		float64(measured("/memory/classes/heap/objects:bytes"))/(1<<20), fault, strings.Join(errors, ", "), r.ledger.alarm(r.order.Faults()))
}

// alarm is what a line ends with when the verdict can only be that it failed.
func (l *ledger) alarm(violations uint64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.found) == 0 && violations == 0 {
		return ""
	}
	return fmt.Sprintf("  FAILED: %d violations, findings %v", violations, l.found)
}

// short rounds a duration to what fits a column.
func short(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
