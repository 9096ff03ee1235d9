package tso

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// simulate is one run of one seed, in a bubble. It returns what the nemesis did.
func simulate(t *testing.T, p *simPlan, sum *simSummary) []string {
	w, end := newSimWorld(t, p)
	defer end()
	w.startCallers()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	nemesis := make(chan struct{})
	go func() {
		defer close(nemesis)
		w.nemesis(ctx)
	}()
	var recovered []time.Duration
	if p.ended > 0 {
		time.Sleep(p.ended)
	} else {
		<-nemesis
		recovered = w.awaitRecovery()
		w.calmed = w.now()
		time.Sleep(simCalm)
	}
	took := w.endClients(end)
	closed := w.now()
	if took > simCloses {
		w.violation("Close took %v", took)
	}
	w.awaitCallers()
	stop()
	<-nemesis
	w.server.Close()
	w.checkAfterClose()
	w.judge(closed)
	sum.add(w, recovered, took)
	w.report()
	return w.events
}

func (w *simWorld) report() {
	lines := w.violations.lines
	if len(lines) > 0 || testing.Verbose() && *simSeeds == 1 {
		w.t.Log(w.story())
	}
	for _, line := range lines[:min(len(lines), 10)] {
		w.t.Error(line)
	}
	if len(lines) > 10 {
		w.t.Errorf("and %d more", len(lines)-10)
	}
}

// awaitRecovery calls once in each scope of each client, and returns how long it
// took until it was served.
func (w *simWorld) awaitRecovery() []time.Duration {
	var all simTimes
	var probes sync.WaitGroup
	for _, c := range w.clients {
		for _, dc := range append([]string{globalDC}, w.plan.dcs...) {
			probes.Go(func() { all.add(w.probe(c, dc)) })
		}
	}
	probes.Wait()
	return all.times
}

// probe calls until a call is served.
func (w *simWorld) probe(c Client, dc string) time.Duration {
	start := w.now()
	for {
		_, _, err := c.GetLocalTS(context.Background(), dc)
		took := w.now() - start
		if took > w.plan.recovers() {
			w.violation("healed, and %q not served within %v: %v", dc, took, err)
			return took
		}
		if err == nil {
			return took
		}
		if !errors.Is(err, ErrUnknownDCLocation) && !errors.Is(err, ErrBudgetSpent) && !errors.Is(err, ErrBadResponse) && !errors.Is(err, ErrClusterMismatch) {
			w.violation("healed, and %q failed: %v", dc, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// endClients closes all clients, concurrently, or ends the context that they live
// in, and returns how long that took.
func (w *simWorld) endClients(end context.CancelFunc) time.Duration {
	start := w.now()
	w.closes = start
	if w.plan.cancel {
		end()
	}
	var closing sync.WaitGroup
	for _, c := range w.clients {
		closing.Go(c.Close)
	}
	closing.Wait()
	return w.now() - start
}

// awaitCallers waits for all callers, who have been told by the end of their clients.
func (w *simWorld) awaitCallers() {
	close(w.quit)
	done := make(chan struct{})
	go func() {
		w.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Hour):
		// The bubble cannot end without them, and would not let the test say why.
		_, _ = fmt.Fprintf(os.Stderr, "%s\n%s\n", w.story(), simStacks())
		panic(fmt.Sprintf("seed %d: a caller has not come back an hour after the clients were closed", w.plan.seed))
	}
}

// checkAfterClose calls clients that are closed.
func (w *simWorld) checkAfterClose() {
	for _, c := range w.clients {
		if _, _, err := c.GetTS(context.Background()); !errors.Is(err, ErrClosed) {
			w.violation("GetTS after Close: %v", err)
		}
		if _, _, err := c.GetLocalTSAsync(context.Background(), "dc-1").Wait(); !errors.Is(err, ErrClosed) {
			w.violation("GetLocalTSAsync after Close: %v", err)
		}
		if s := c.Stats(); s.Streams > simMostStreams(w.now()) {
			w.violation("%d streams in %v", s.Streams, w.now())
		}
	}
}

// simMostStreams is how many streams a client may have opened after some time: 50 in
// the first second and then 10 a second.
func simMostStreams(after time.Duration) int64 { return 50 + 10*int64(after/time.Second+1) }

// simTimes collects durations from any goroutine.
type simTimes struct {
	mu    sync.Mutex
	times []time.Duration
}

func (s *simTimes) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, d)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
