package member

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"time"
)

// A server that is spoken to in the wrong way hangs up without a word (PD does, both with TLS and without), as one does that
// is about to stop. To tell them apart it is spoken to in the other way, on a connection of its own that ends at once, with
// nothing of the client's but a greeting.

// probe returns why a server has hung up on a connection that was, or was not, to be secure, or nil if it does not speak the
// other way either.
func (c *contact) probe(ctx context.Context, secure bool) *refusal {
	address := c.address.Load()
	if address == nil {
		return nil
	}
	if may, known := c.mayProbe(c.url, time.Now()); !may {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := c.dial(ctx, *address)
	if err != nil {
		return nil
	}
	hangUp := func() { _ = conn.Close() } // its only error is that the other of these two was first
	defer context.AfterFunc(ctx, hangUp)()
	defer hangUp()
	switch {
	case secure && speaksHTTP2(conn):
		return asRefusal(errServerSpeaksPlain)
	case !secure && speaksTLS(ctx, conn, *address):
		return asRefusal(errServerSpeaksTLS)
	}
	return nil
}

// speaksHTTP2 reports whether the server answers HTTP/2's greeting without TLS with its own, a SETTINGS frame.
func speaksHTTP2(conn net.Conn) bool {
	const (
		greeting      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
		frameHeader   = 9
		kind          = 3
		kindSettings  = 4
		settingsBytes = 6
	)
	if _, err := io.WriteString(conn, greeting); err != nil {
		return false
	}
	var head [frameHeader]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return false
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	return head[kind] == kindSettings && length%settingsBytes == 0
}

// speaksTLS reports whether the server answers TLS's greeting with TLS. No certificate is sent, and none accepted: the
// server's first record is enough.
func speaksTLS(ctx context.Context, conn net.Conn, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	heard := &headConn{Conn: conn}
	greeting := tls.Client(heard, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, ServerName: host, RootCAs: x509.NewCertPool(),
	})
	_ = greeting.HandshakeContext(ctx) // fails: no authority is trusted
	return isTLS(heard.head)
}

// headConn keeps the first bytes that come. It has one reader.
type headConn struct {
	net.Conn
	head []byte
}

func (h *headConn) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if h.head == nil && n > 0 {
		h.head = append(h.head, p[:min(n, 8)]...)
	}
	return n, err
}
