package integration_test

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
)

// busyCalls is for `make busy-order`.
var busyCalls = flag.Int64("busy.calls", 150_000, "number of calls that each test of a busy process makes")

// saturate keeps all processors of the process busy until the end of t, with a pause
// now and then in which they are not.
func saturate(t *testing.T) {
	t.Helper()
	var stopping, resting atomic.Bool
	var wg sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for x := 0; !stopping.Load(); x++ {
				if resting.Load() {
					time.Sleep(time.Millisecond)
				} else if x%20_000 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Go(func() {
		for !stopping.Load() {
			time.Sleep(200 * time.Millisecond)
			resting.Store(!resting.Load())
		}
	})
	t.Cleanup(func() {
		stopping.Store(true)
		wg.Wait()
	})
}

// requireBusyService makes calls in a process that is saturated most of the time.
func requireBusyService(t *testing.T, urls []string, security tso.SecurityOption) {
	t.Helper()
	client := connect(t, urls, security)
	saturate(t)
	l := newLoad(*busyCalls)
	l.callers(32, client, global)
	l.futures(4, 16, client, global)
	r := l.wait()
	stats := client.Stats()
	end := l.recorder.Now()
	t.Logf("longest call %v, %+v", r.longest(0, end), stats)
	r.requireClean(t)
	require.NotZero(t, stats.Yields, "the reader has not found the process saturated")
	require.Less(t, r.longest(0, end), 5*time.Second, "a caller was stuck")
}

func TestBusyProcess_IsServedInOrder(t *testing.T) {
	requireBusyService(t, oneNode.use(t).ClientURLs(), plain)
}

func TestBusyProcess_IsServedInOrderOverTLS(t *testing.T) {
	cluster := threeTLS.use(t)
	requireBusyService(t, cluster.ClientURLs(), byPath(cluster.TLS))
}
