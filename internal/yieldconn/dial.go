package yieldconn

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Dialer makes connections of one client to one server. It must not be changed after
// its first use; it may be used from any goroutine.
type Dialer struct {
	// Awaited reports whether an answer is awaited from the server. It is asked
	// when there is nothing to read in a saturated process, and must not block. What
	// it tells of must be so before the request is written.
	Awaited func() bool
	// Load is asked whether the process is saturated. Shared by the connections of
	// a client.
	Load *Load
	// Counts counts what the connections do.
	Counts *Counts
}

// Counts is how often the readers of some connections had nothing to read.
type Counts struct {
	// Yields is how often one waited with an alarm, Parks how often without.
	Yields, Parks atomic.Int64
}

// Settings of a socket.
const (
	// keepAliveIdle, keepAliveInterval and keepAliveCount find a peer that is gone
	// without a word while nothing is sent: within half a minute.
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3

	// userTimeout bounds how long the kernel sends again what the peer does not
	// acknowledge, where it can be told (Linux). It is what grpc-go sets by default
	// where it knows the connection.
	userTimeout = 20 * time.Second
)

// Dial connects to a TCP address, host:port, as grpc.WithContextDialer wants it.
func (d *Dialer) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable:   true,
		Idle:     keepAliveIdle,
		Interval: keepAliveInterval,
		Count:    keepAliveCount,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	return d.wrap(tcp)
}
