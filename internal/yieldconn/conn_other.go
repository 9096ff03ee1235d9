//go:build !unix

package yieldconn

import (
	"net"
	"time"
)

// Conn is a TCP connection that takes leave quickly. Its reads are those of a TCPConn where
// a socket cannot be asked without waiting.
type Conn struct{ *net.TCPConn }

// SetWriteDeadline implements net.Conn, and shortens what it is given; see farewell.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.TCPConn.SetWriteDeadline(farewell(t))
}

func (d *Dialer) wrap(tcp *net.TCPConn) (net.Conn, error) { return &Conn{tcp}, nil }
