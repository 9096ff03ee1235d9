package member

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// How long a connect may take: the look-up of the name, TCP and TLS handshakes and the first HTTP/2 frame together.
const (
	// firstLimit is about five round trips, and so suffices at 300 ms each. More would only delay the next attempt on a
	// path that drops packets.
	firstLimit = 2 * time.Second

	// Where connects fail for as long as they may take, as with a slow name server or a proxy beside the process, the
	// next ones may take limitFactor times as long, up to mostTimeouts of Config.Timeout.
	limitFactor  = 1.5
	mostTimeouts = 2
)

// freshLimit is how long the connect of a connection may take which somebody is waiting for, for Config.Timeout at most. It
// need not be short, as others are tried beside it.
func (c *connections) freshLimit() time.Duration { return max(firstLimit, c.timeout) }

// longer returns what a connect may take after one has failed that might take limit, or false if that is the most.
func (c *connections) longer(limit time.Duration) (time.Duration, bool) {
	next := min(time.Duration(limitFactor*float64(limit)), mostTimeouts*c.timeout)
	return next, next > limit
}

// watch tells of each loss of a connection, until it is closed, and has another one take its place, for which a connect may
// take longer, when it has been down for as long as one may take.
func (c *connections) watch(normal string, conn *grpc.ClientConn, limit time.Duration) {
	down := time.Now() // Since when it is, if it is. grpc-go tells of the first connect only, and then of its success.
	for state := conn.GetState(); state != connectivity.Shutdown; {
		if !c.await(conn, state, down, limit) {
			c.giveTime(normal, conn, limit)
			return
		}
		before := state
		state = conn.GetState()
		if before != connectivity.Connecting || state != connectivity.TransientFailure {
			down = time.Now() // It was up or idle, or is; only a failure comes after a time of being down.
		}
		if wasLost(before, state) {
			c.lost()
		}
	}
}

// wasLost reports whether a connection has been up and been lost, from two states that were seen one after the other. It may
// have passed through others in between: one that is lost soon after it came up may not be seen up at all. From up it goes to
// idle, and from there to connecting. Nothing else leads there but its beginning, which is idle: after a connect that failed it
// stays in TransientFailure until one succeeds.
func wasLost(before, now connectivity.State) bool {
	switch now {
	case connectivity.Shutdown:
		return false
	case connectivity.Idle:
		return true
	case connectivity.Connecting:
		return before != connectivity.Idle
	default:
		return before == connectivity.Ready
	}
}

// await waits until the connection leaves a state, or reports false if it has been down for limit and would do better with
// more.
func (c *connections) await(conn *grpc.ClientConn, state connectivity.State, down time.Time, limit time.Duration) bool {
	if _, ok := c.longer(limit); !ok || state != connectivity.TransientFailure {
		return conn.WaitForStateChange(context.Background(), state)
	}
	ctx, cancel := context.WithDeadline(context.Background(), down.Add(limit))
	defer cancel()
	return conn.WaitForStateChange(ctx, state)
}

// giveTime puts a connection that has more time to connect than limit in the place of one that is down.
func (c *connections) giveTime(normal string, old *grpc.ClientConn, limit time.Duration) {
	c.mu.Lock()
	if c.byURL == nil || c.byURL[normal] != old {
		c.mu.Unlock()
		return
	}
	limit, _ = c.longer(limit)
	conn, err := c.create(normal, false, limit)
	if err == nil {
		c.put(normal, conn, limit)
	}
	c.mu.Unlock()
	if err == nil {
		conn.Connect() // As the old one would have gone on to.
		closeConns([]*grpc.ClientConn{old})
	}
}
