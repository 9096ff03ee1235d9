package tso

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// refusing is a host that refuses connections for a while.
type refusing struct {
	until  time.Time
	knocks atomic.Int64
}

func (r *refusing) dial() (net.Conn, error) {
	r.knocks.Add(1)
	if time.Now().Before(r.until) {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	near, far := net.Pipe()
	return near, far.Close()
}

// newKnocker is as much of a client as knock needs.
func newKnocker() *client { return &client{began: time.Now()} }

func TestHostThatRefusedIsConnectedToAsSoonAsItTakesConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := newKnocker(), &refusing{until: time.Now().Add(10 * time.Second)}
		var tries sync.WaitGroup
		var first atomic.Int64
		for range 3 {
			tries.Go(func() {
				conn, err := c.knock(t.Context(), host.dial)
				require.NoError(t, err)
				_ = conn.Close()
				first.CompareAndSwap(0, int64(time.Since(host.until)))
			})
		}
		tries.Wait()
		require.Less(t, time.Duration(first.Load()), 2*knockRate.interval)
		require.InDelta(t, knocksRate.burst+int(10*time.Second/knocksRate.interval), host.knocks.Load(), 20, "all tries together")
	})
}

func TestKnockEndsWithItsContextAndWithOtherErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := newKnocker(), &refusing{until: time.Now().Add(time.Hour)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.knock(ctx, host.dial)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, time.Second, time.Since(began))

		unreachable := errors.New("no route to host")
		_, err = c.knock(t.Context(), func() (net.Conn, error) { return nil, unreachable })
		require.Equal(t, unreachable, err)
		require.Equal(t, time.Second, time.Since(began))
	})
}
