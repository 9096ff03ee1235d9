package tso

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// dropping is a host that does not answer for a while, as the path to it drops packets.
type dropping struct {
	until  time.Time
	far    time.Duration // a round trip
	dials  atomic.Int64
	open   atomic.Int64
	most   atomic.Int64 // how many were open at once
	closed atomic.Int64 // how many were answered, and then closed
}

// dial connects as a kernel does, which repeats itself after a second, and then after twice as
// long each time.
func (d *dropping) dial(ctx context.Context) (net.Conn, error) {
	d.dials.Add(1)
	d.most.Store(max(d.most.Load(), d.open.Add(1)))
	defer d.open.Add(-1)
	for pause := time.Second; time.Now().Before(d.until); pause *= 2 {
		sleep(ctx, pause)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	sleep(ctx, d.far)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	near, _ := net.Pipe()
	return &answered{near, d}, nil
}

// answered is a connection that counts its end.
type answered struct {
	net.Conn
	host *dropping
}

func (a *answered) Close() error {
	a.host.closed.Add(1)
	return a.Conn.Close()
}

func TestPathThatDroppedPacketsIsFoundOnceItDoesNot(t *testing.T) {
	for _, far := range []time.Duration{time.Millisecond, 200 * time.Millisecond} {
		for _, drops := range []time.Duration{350, 1001, 2010, 2990, 10_010, 20_010} {
			synctest.Test(t, func(t *testing.T) {
				c, host := newKnocker(), &dropping{until: time.Now().Add(drops * time.Millisecond), far: far}
				conn, err := c.repeat(t.Context(), "pd-1", host.dial)
				require.NoError(t, err)
				require.Less(t, time.Since(host.until), far+2*repeatRate.interval)
				synctest.Wait()
				require.Zero(t, host.open.Load(), "the others have ended")
				closed := host.closed.Load()
				require.NoError(t, conn.Close())
				require.Equal(t, closed+1, host.closed.Load(), "that is the one that there is")
			})
		}
	}
}

// Who is far away is connected to once, and however far that is.
func TestConnectThatIsSlowIsNotRepeatedForNothing(t *testing.T) {
	for far, dials := range map[time.Duration]int64{
		answerDue - 1:  1,
		2 * repeatLife: 8,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, host, began := newKnocker(), &dropping{far: far}, time.Now()
			conn, err := c.repeat(t.Context(), "pd-1", host.dial)
			require.NoError(t, err)
			require.Equal(t, far, time.Since(began))
			require.LessOrEqual(t, host.dials.Load(), dials)
			require.Zero(t, host.closed.Load())
			require.NoError(t, conn.Close())
		})
	}
}

// Many lanes may have tries, each for as long as an RPC may take.
func TestConnectsThatNobodyAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long, lanes = 20 * time.Minute, 5
		c, host := newKnocker(), &dropping{until: time.Now().Add(2 * long)}
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		var tries sync.WaitGroup
		first := 0
		for i := range lanes {
			first += int(long / (3 * time.Second))
			tries.Go(func() {
				for ctx.Err() == nil {
					ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
					_, err := c.repeat(ctx, "pd-"+strconv.Itoa(i), host.dial)
					cancel()
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
			})
		}
		tries.Wait()
		repeats := silenceRate.burst + int(long/silenceRate.interval)
		made := int(host.dials.Load()) - first
		require.LessOrEqual(t, made, repeats)
		require.Greater(t, made, repeats/2)
		require.LessOrEqual(t, host.most.Load(), lanes+2*int64(repeatLife/repeatRate.interval))
	})
}

func TestConnectIsRepeatedInTroubleOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		<-ss.opened
		synctest.Wait()
		c, host := newKnocker(), &dropping{until: time.Now().Add(time.Hour)}
		c.lanes.Store(&map[string]*lane{globalDC: l})
		connect := func() int64 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := c.repeat(ctx, "pd-1", host.dial)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return host.dials.Swap(0)
		}
		require.EqualValues(t, 1, connect())
		l.suspicion.Store(&suspicion{})
		require.Greater(t, connect(), int64(10))
		l.suspicion.Store(nil)
		require.EqualValues(t, 1, connect())
		defer l.current.Store(l.current.Swap(nil))
		require.Greater(t, connect(), int64(10))
	})
}

func TestRefusalEndsTheConnectsThatNobodyHasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host, began := newKnocker(), &dropping{until: time.Now().Add(time.Hour)}, time.Now()
		_, err := c.repeat(t.Context(), "pd-1", func(ctx context.Context) (net.Conn, error) {
			switch host.dials.Load() {
			case 3:
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			case 2:
				host.dials.Add(1)
				return nil, errors.New("too many open files") // says nothing of the host
			default:
				return host.dial(ctx)
			}
		})
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Less(t, time.Since(began), answerDue+4*repeatRate.interval)
	})
}

// Eight of nine connects are to a member that is gone for good.
func TestConnectToOneMemberIsRepeatedHoweverManyAreToAnother(t *testing.T) {
	for _, drops := range []time.Duration{1200, 1350, 1550, 1700, 1850, 2050, 2250, 2450} {
		synctest.Test(t, func(t *testing.T) {
			c := newKnocker()
			gone, host := &dropping{until: time.Now().Add(time.Hour)}, &dropping{until: time.Now().Add(drops * time.Millisecond)}
			ctx, cancel := context.WithCancel(t.Context())
			var tries sync.WaitGroup
			defer tries.Wait()
			defer cancel()
			for range 8 {
				tries.Go(func() {
					_, err := c.repeat(ctx, "pd-1", gone.dial)
					require.ErrorIs(t, err, context.Canceled)
				})
			}
			conn, err := c.repeat(ctx, "pd-2", host.dial)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			require.Less(t, time.Since(host.until), 3*repeatRate.interval)
		})
	}
}

// All connects to a member hear of the first that is answered, as each has a use of its own.
func TestConnectsToOneMemberAreAllAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := newKnocker(), &dropping{until: time.Now().Add(2100 * time.Millisecond)}
		var tries sync.WaitGroup
		for range 4 {
			tries.Go(func() {
				conn, err := c.repeat(t.Context(), "pd-1", host.dial)
				require.NoError(t, err)
				require.NoError(t, conn.Close())
				require.Less(t, time.Since(host.until), 2*repeatRate.interval)
			})
		}
		tries.Wait()
		require.Empty(t, c.unanswered.byURL)
	})
}
