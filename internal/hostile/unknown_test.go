package hostile

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// callNowhere has callers ask for timestamps of n dc-locations that there are not, again and
// again, until the returned function is called.
func callNowhere(t *testing.T, c tso.Client, n int) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			for ctx.Err() == nil {
				_, _, err := c.GetLocalTS(ctx, fmt.Sprintf("nowhere-%d", i))
				require.Error(t, err)
				time.Sleep(time.Millisecond)
			}
		})
	}
	stop = func() {
		cancel()
		calls.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// Names that nobody knows beside the global scope, whose connections go dead and whose
// leader moves: its calls wait no longer than without them.
func TestUnknownDCsDoNotHoldUpTheGlobalScope(t *testing.T) {
	var alone time.Duration
	for _, n := range []int{0, 5, 100} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, tsotest.WithMembers(3))
			c := newClient(t, s)
			getTS(t, c)
			stop := callNowhere(t, c, n)
			time.Sleep(2 * time.Second)
			before := c.Stats()
			var waited time.Duration
			for i := range 4 {
				getTS(t, c)
				require.NoError(t, s.SilenceConns(i%3))
				began := time.Now()
				getTS(t, c)
				waited += time.Since(began)
				time.Sleep(1500 * time.Millisecond)
				require.NoError(t, s.MoveLeader((i+1)%3))
				began = time.Now()
				getTS(t, c)
				waited += time.Since(began)
				time.Sleep(1500 * time.Millisecond)
			}
			stop()
			synctest.Wait()
			if n == 0 {
				alone = waited
			}
			require.LessOrEqual(t, waited, alone+100*time.Millisecond, "%d unknown dc-locations", n)
			t.Logf("%d unknown dc-locations: waited %v, %d lists, %d probes", n, waited,
				c.Stats().MemberRequests-before.MemberRequests, c.Stats().Probes-before.Probes)
		})
	}
}

func TestUnknownDCsAreGoneSoonAfterTheLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s)
		getTS(t, c)
		synctest.Wait()
		before, lists := goroutines(), c.Stats().MemberRequests
		stop := callNowhere(t, c, 300)
		time.Sleep(20 * time.Second)
		require.GreaterOrEqual(t, goroutines(), before+300)
		stop()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.LessOrEqual(t, goroutines(), before)
		require.LessOrEqual(t, c.Stats().MemberRequests-lists, int64(3*(10+25/0.5)), "of three members")
		require.Zero(t, c.Stats().Probes, "who serves nowhere is nobody's question")
	})
}
