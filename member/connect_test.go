package member

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// slowPath is a way to members on which each connect takes some time, if there is enough of it.
type slowPath struct {
	memory

	lock  sync.Mutex
	takes time.Duration
	given []time.Duration // How long each attempt was given.
	conns []net.Conn
}

func (p *slowPath) option() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, host string) (net.Conn, error) {
		deadline, _ := ctx.Deadline()
		p.lock.Lock()
		takes := p.takes
		p.given = append(p.given, time.Until(deadline).Round(time.Millisecond))
		p.lock.Unlock()
		if !sleep(ctx, takes) {
			return nil, ctx.Err()
		}
		conn, err := p.dial(ctx, host)
		p.lock.Lock()
		defer p.lock.Unlock()
		p.conns = append(p.conns, conn)
		return conn, err
	})
}

// become has connects take so long from now on, and ends the connections that there are.
func (p *slowPath) become(takes time.Duration) {
	synctest.Wait() // So that they have been seen to be up.
	p.lock.Lock()
	defer p.lock.Unlock()
	p.takes, p.given = takes, nil
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

func TestConnect_MayTakeLongWhereItMust(t *testing.T) {
	for _, takes := range []time.Duration{0, 1900 * time.Millisecond, 2300 * time.Millisecond, 2900 * time.Millisecond, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var path slowPath
			path.takes = takes
			member := path.start(t, "a:1")
			member.say(cluster(member.url))
			began := time.Now()
			m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{path.option()}})
			require.Less(t, time.Since(began), 4*takes+time.Millisecond, "%v", takes)

			// Back as soon as it can be, when it has been there before.
			path.become(takes)
			time.Sleep(time.Second)
			began = time.Now()
			refreshed(t, m)
			require.LessOrEqual(t, time.Since(began), max(takes, time.Second), "%v", takes)
		})
	}
}

func TestConnect_LeavesAPathThatDropsPacketsSoonAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var path slowPath
		member := path.start(t, "a:1")
		member.say(cluster(member.url))
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{path.option()}})
		path.become(time.Hour)
		m.Refresh()
		time.Sleep(time.Minute)
		path.lock.Lock()
		given := path.given
		path.lock.Unlock()
		require.Equal(t, []time.Duration{2 * time.Second, 3 * time.Second, 4500 * time.Millisecond, 6 * time.Second}, given[:4])
		require.Greater(t, len(given), 9, "it goes on trying")
		for _, d := range given[3:] {
			require.Equal(t, mostTimeouts*defaultTimeout, d)
		}
	})
}

// A connect that takes longer than a question may: the question ends, the connect goes on.
func TestConnect_OutlivesTheQuestionThatBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var path slowPath
		member := path.start(t, "a:1")
		member.say(cluster(member.url))
		m := open(t, Config{Seeds: []string{"a:1"}, Timeout: time.Second, DialOptions: []grpc.DialOption{path.option()}})
		path.become(1500 * time.Millisecond)
		synctest.Wait() // Its loss is a reason to ask.
		began := time.Now()
		refreshed(t, m)
		require.Equal(t, 1500*time.Millisecond, time.Since(began))
		require.EqualValues(t, 1, m.Stats().Failures, "the question before")
	})
}

// Who watches a connection may be late, and not see that it was up.
func TestConnect_LossShowsInWhatComesAfterIt(t *testing.T) {
	const (
		idle, connecting, up = connectivity.Idle, connectivity.Connecting, connectivity.Ready
		failed, closed       = connectivity.TransientFailure, connectivity.Shutdown
	)
	for _, seen := range []struct {
		before, now connectivity.State
		lost        bool
	}{
		{idle, connecting, false}, {connecting, up, false}, {idle, up, false},
		{connecting, failed, false}, {idle, failed, false}, {failed, up, false},
		{up, idle, true}, {up, connecting, true}, {up, up, true}, {up, failed, true},
		{idle, idle, true}, {connecting, idle, true}, {failed, idle, true},
		{connecting, connecting, true}, {failed, connecting, true},
		{up, closed, false}, {idle, closed, false},
	} {
		require.Equal(t, seen.lost, wasLost(seen.before, seen.now), "%v, then %v", seen.before, seen.now)
	}
}

func TestConnect_OneThatIsUpTakesThePlaceOfOneThatIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var path slowPath
		member := path.start(t, "a:1")
		member.say(cluster(member.url))
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{path.option()}})
		old, err := m.Conn("a:1")
		require.NoError(t, err)
		path.become(time.Hour)
		m.Refresh()
		time.Sleep(firstLimit + time.Second)
		longer, err := m.Conn("a:1")
		require.NoError(t, err)
		require.NotSame(t, old, longer)
		require.Equal(t, connectivity.Shutdown, old.GetState())

		path.become(0)
		fresh, err := m.Fresh("a:1")
		require.NoError(t, err)
		require.NoError(t, Started(t.Context(), fresh))
		require.True(t, m.Keep("a:1", old, fresh), "although another one has taken the place of the one that was doubted")
		now, err := m.Conn("a:1")
		require.NoError(t, err)
		require.Same(t, fresh, now)
	})
}
