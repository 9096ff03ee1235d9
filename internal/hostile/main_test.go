// Package hostile holds what servers, networks and callers may do to a client,
// seen from outside: the failures of the client that this one replaces, and all
// others that somebody could think of. UPSTREAM.md maps the former to the tests
// that provoke them.
//
// Where a test needs nothing of the kernel it runs in a bubble of fake time
// (testing/synctest), where minutes cost nothing and bounds on time are exact.
package hostile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
	"github.com/tsoring/tso/tsotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newServer returns a server in memory, for a bubble.
func newServer(t testing.TB, opts ...tsotest.Option) *tsotest.Server {
	return tsotest.New(t, append(opts, tsotest.WithBufconn())...)
}

// dialThrough makes a client connect by dial.
func dialThrough(dial func(context.Context, string) (net.Conn, error)) tso.ClientOption {
	return tso.WithGRPCDialOptions(grpc.WithContextDialer(dial))
}

// newClient returns a client of the server, closed with the test.
func newClient(t testing.TB, s *tsotest.Server, opts ...tso.ClientOption) tso.Client {
	t.Helper()
	c, err := tso.NewClient(s.URLs(), tso.SecurityOption{}, append([]tso.ClientOption{dialThrough(s.Dialer())}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// compose returns the timestamp of a call, or what is wrong with it.
func compose(physical, logical int64, err error) (uint64, error) {
	if err == nil && (physical <= 0 || logical < 0 || logical >= 1<<18) {
		err = fmt.Errorf("(%d, %d) is no timestamp", physical, logical)
	}
	return tso.ComposeTS(physical, logical), err
}

// getTS returns the timestamp of a call that succeeds.
func getTS(t testing.TB, c tso.Client) uint64 {
	t.Helper()
	ts, err := compose(c.GetTS(context.Background()))
	require.NoError(t, err)
	return ts
}

// callers are goroutines that call all the time, and what they were told.
type callers struct {
	t        testing.TB
	recorder *history.Recorder
	quit     chan struct{}
	once     sync.Once
	running  sync.WaitGroup
}

// startCallers starts n goroutines that call get again and again. Errors that
// allowed does not approve of fail the test.
func startCallers(t testing.TB, n int, get func() (int64, int64, error), allowed func(error) bool) *callers {
	c := &callers{t: t, recorder: history.NewTickRecorder(), quit: make(chan struct{})}
	t.Cleanup(c.end) // a bubble whose test has failed must end as well
	for range n {
		c.running.Go(func() { c.call(c.recorder.NewLog(1<<10), get, allowed) })
	}
	return c
}

func (c *callers) call(log *history.Log, get func() (int64, int64, error), allowed func(error) bool) {
	for quit := false; !quit; { // a call at least
		time.Sleep(3 * time.Millisecond) // a bubble's clock stands still while anybody runs
		start := log.Start()
		ts, err := compose(get())
		switch {
		case err == nil:
			log.End(start, ts)
		case errors.Is(err, tso.ErrClosed):
			return
		case allowed == nil || !allowed(err):
			c.t.Errorf("call failed: %v", err)
			return
		}
		select {
		case <-c.quit:
			quit = true
		default:
		}
	}
}

func (c *callers) end() {
	c.once.Do(func() { close(c.quit) })
	c.running.Wait()
}

// stop ends the callers and requires that the order held.
func (c *callers) stop() {
	c.t.Helper()
	c.end()
	require.NoError(c.t, history.Err(c.recorder.Check()))
	require.NotEmpty(c.t, c.recorder.Calls())
}

// every calls GetTS with a context that never ends.
func every(c tso.Client) func() (int64, int64, error) {
	return func() (int64, int64, error) { return c.GetTS(context.Background()) }
}

// goroutines returns how many there are.
func goroutines() int { return runtime.NumGoroutine() }
