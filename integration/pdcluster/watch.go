package pdcluster

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// watchAskers is how many questions to one member may be under way. A member that
// has just become leader may sit on a question for 200 ms before it looks again
// whether it can serve, while it answers one that comes later at once.
const watchAskers = 8

// Watch asks every member directly, past any path, for timestamps of one scope, for
// as long as it lasts, to find out when the cluster served: whenever a member did.
type Watch struct {
	cluster *Cluster
	dc      string
	clock   func() int64
	cancel  context.CancelFunc
	running sync.WaitGroup
	last    atomic.Int64

	mu    sync.Mutex
	times []int64 // guarded by mu
}

// Watch starts to ask for timestamps of a dc-location, or of the global scope if dc
// is empty. Each member is asked once in every interval, also while it does not
// answer, up to a bound. Times are read from clock.
func (c *Cluster) Watch(dc string, interval time.Duration, clock func() int64) (*Watch, error) {
	if dc == "" {
		dc = "global"
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watch{cluster: c, dc: dc, clock: clock, cancel: cancel}
	for _, m := range c.Members() {
		conn, err := m.dial(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: interval, Multiplier: 1, MaxDelay: interval},
			MinConnectTimeout: time.Second,
		}))
		if err != nil {
			w.Stop()
			return nil, err
		}
		w.watch(ctx, conn, interval)
	}
	return w, nil
}

// Last returns when a member last answered, 0 if none has yet.
func (w *Watch) Last() int64 { return w.last.Load() }

// Stop ends the questions and returns when they were answered, in order.
func (w *Watch) Stop() []int64 {
	w.cancel()
	w.running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.times)
	return w.times
}

// watch asks one member, and closes conn at the end.
func (w *Watch) watch(ctx context.Context, conn *grpc.ClientConn, interval time.Duration) {
	var askers sync.WaitGroup
	for i := range watchAskers {
		askers.Go(func() { w.ask(ctx, conn, time.Duration(i)*interval, watchAskers*interval) })
	}
	w.running.Go(func() {
		askers.Wait()
		_ = conn.Close()
	})
}

// ask asks in every interval, from a delay on.
func (w *Watch) ask(ctx context.Context, conn *grpc.ClientConn, delay, interval time.Duration) {
	if !sleep(ctx, delay) {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	a := asker{conn: conn, request: w.cluster.request(w.dc)}
	defer a.drop()
	for ctx.Err() == nil {
		if a.ask(ctx) == nil {
			w.note()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (w *Watch) note() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock() // under the lock, so that times are in order and last is the latest
	w.times = append(w.times, now)
	w.last.Store(now)
}

// asker asks on one stream for as long as it lasts, and then on the next.
type asker struct {
	conn    *grpc.ClientConn
	request *pdpb.TsoRequest
	stream  pdpb.PD_TsoClient
	cancel  context.CancelFunc
}

func (a *asker) ask(ctx context.Context) error {
	if a.stream == nil {
		ctx, cancel := context.WithCancel(ctx)
		stream, err := pdpb.NewPDClient(a.conn).Tso(ctx)
		if err != nil {
			cancel()
			return err
		}
		a.stream, a.cancel = stream, cancel
	}
	_ = a.stream.Send(a.request) // an error is the stream's, which Recv tells
	resp, err := a.stream.Recv()
	if err == nil {
		_, err = compose(resp)
	}
	if err != nil {
		a.drop()
	}
	return err
}

func (a *asker) drop() {
	if a.stream != nil {
		a.cancel()
		a.stream = nil
	}
}

// sleep returns false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
