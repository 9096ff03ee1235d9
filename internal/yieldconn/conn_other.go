//go:build !unix

package yieldconn

import "net"

// wrap leaves a connection as it is where a socket cannot be asked without waiting.
func (d *Dialer) wrap(tcp *net.TCPConn) (net.Conn, error) { return tcp, nil }
