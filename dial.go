package tso

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/wire"
	"github.com/tsoring/tso/internal/yieldconn"
	"github.com/tsoring/tso/member"
)

// This file is what lanes need of the client to get to PD: where to, streams,
// connections.

// target returns the URL of the member that serves dc.
func (c *client) target(dc string) string {
	s := c.members.Snapshot()
	if dc == globalDC {
		return s.Leader
	}
	return s.Allocators[dc]
}

// memberURLs returns the URLs of all members, the leader's first if there is one.
func (c *client) memberURLs() []string {
	s := c.members.Snapshot()
	if s.Leader == "" {
		return s.Followers
	}
	return append([]string{s.Leader}, s.Followers...)
}

// open opens a stream for dc on the connection that all share.
func (c *client) open(ctx context.Context, dc string, r route) (tsoStream, error) {
	conn, err := c.members.Conn(r.via)
	if err != nil {
		return nil, err
	}
	return c.openOn(ctx, conn, dc, r)
}

// fresh opens a stream for dc on a connection of its own.
func (c *client) fresh(ctx context.Context, dc string, r route) (tsoStream, connection, error) {
	shared, err := c.members.Conn(r.via)
	if err != nil {
		return nil, nil, err
	}
	conn, err := c.members.Fresh(r.via)
	if err != nil {
		return nil, nil, err
	}
	own := &freshConn{members: c.members, route: r, shared: shared, conn: conn}
	stream, err := c.openOn(ctx, conn, dc, r)
	if err != nil {
		own.drop()
		return nil, nil, err
	}
	c.wake(shared)
	return stream, own, nil
}

// wake has a connection that is down made again now, as another one to the same member is up:
// that one may wait for an answer that a member which is starting sleeps over.
func (c *client) wake(conn *grpc.ClientConn) {
	if conn.GetState() == connectivity.TransientFailure && c.pace.reserveFirst(c.now()) {
		conn.ResetConnectBackoff()
	}
}

func (c *client) openOn(ctx context.Context, conn *grpc.ClientConn, dc string, r route) (tsoStream, error) {
	if !r.isDirect() {
		// A PD that is still starting ends with a nil pointer when it is asked to
		// pass a request on (seen with one of April 2024).
		if err := member.Started(ctx, conn); err != nil {
			return nil, fmt.Errorf("%s cannot pass requests on: %w", r.via, err)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, forwardedHost, r.target)
	}
	if dc == globalDC {
		dc = "" // what every server takes for it, also those that know no dc-locations
	}
	s, err := openGRPC(ctx, conn, wire.NewTemplate(c.members.Snapshot().ClusterID, dc), c.buffers)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// freshConn is a connection that one lane has made to try a route.
type freshConn struct {
	members      *member.Members
	route        route
	shared, conn *grpc.ClientConn // the one that there was, and this one
}

// keep implements connection. To go through a member is no reason to doubt the
// connection to it that others may be using.
func (f *freshConn) keep() bool {
	return f.route.isDirect() && f.members.Keep(f.route.via, f.shared, f.conn)
}

func (f *freshConn) drop() { _ = f.conn.Close() } // its only error is that it is closed already

// reachable reports whether the connection that all share to the member at url is not known
// to be down.
func (c *client) reachable(url string) bool {
	conn, err := c.members.Conn(url)
	return err == nil && conn.GetState() != connectivity.TransientFailure
}

// health asks the member at url whether it is well. An answer will do, whatever it is: it
// shows that the member can be reached, and timestamps show the rest.
func (c *client) health(ctx context.Context, url string) error {
	conn, err := c.members.Conn(url)
	if err != nil {
		return err
	}
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if status.Code(err) == codes.Unimplemented {
		return nil
	}
	return err
}

// dial returns what connects to the member at url. A fresh connection is a try until there
// is one, and goes on while it is refused.
func (c *client) dial(url string, fresh bool) func(ctx context.Context, address string) (net.Conn, error) {
	d := &yieldconn.Dialer{
		Awaited: func() bool { return c.awaited(url) },
		Load:    &c.load,
		Counts:  &c.reads,
	}
	var made atomic.Bool
	return func(ctx context.Context, address string) (net.Conn, error) {
		dial := func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, address) }
		if !fresh || made.Load() {
			return c.repeat(ctx, url, dial)
		}
		refused := false
		conn, err := c.knock(ctx, func() (net.Conn, error) {
			if refused {
				if conn, err, ok := dialSoon(ctx, dial); ok {
					return conn, err
				}
			}
			refused = true
			return c.repeat(ctx, url, dial)
		})
		made.Store(err == nil)
		return conn, err
	}
}

// dialSoon connects to who has just refused that, and so answers soon. It is false if he does not. It
// takes half of what repeat does, and in a long outage a client does little else.
func dialSoon(ctx context.Context, dial func(context.Context) (net.Conn, error)) (conn net.Conn, err error, ok bool) {
	soon, cancel := context.WithTimeout(ctx, answerDue)
	defer cancel()
	conn, err = dial(soon)
	return conn, err, err == nil || soon.Err() == nil || ctx.Err() != nil
}

// knock connects again and again while that is refused, until ctx ends. A member that is
// back is found at once so, and one that is not hears nothing of it.
func (c *client) knock(ctx context.Context, dial func() (net.Conn, error)) (net.Conn, error) {
	for {
		conn, err := dial()
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil {
			return conn, err
		}
		sleep(ctx, c.pace.reserveKnock(c.now()))
	}
}

// now is the clock of the client's lanes and paces.
func (c *client) now() int64 { return int64(time.Since(c.began)) }

// turn takes a turn for a connection that lists of members are asked for on, of those that
// lanes have for theirs.
func (c *client) turn() (wait time.Duration, ok bool) { return c.pace.reserveFresh(c.now()) }

// awaited reports whether an answer to a request for timestamps is awaited from the
// member at url.
func (c *client) awaited(url string) bool {
	lanes := c.lanes.Load()
	if lanes == nil {
		return false // still finding the cluster
	}
	for _, l := range *lanes {
		if f := l.current.Load(); f != nil && (f.url == url || f.serial) && f.len() > 0 {
			return true
		}
	}
	return false
}
