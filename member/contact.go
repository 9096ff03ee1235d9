package member

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tsoring/tso/internal/pderr"
)

// How a connection begins tells whether client and server speak in the same way: with TLS or without, with certificates that
// both accept. gRPC makes a text of it that only an expert understands, or loses it: it reports an end of the connection. So
// the credentials of each connection look at its beginning, and say what is wrong in words that gRPC hands on, and to contacts,
// which keeps it as an error that can be told apart.

// contacts knows how connections to each URL began. Its methods may be called from any goroutine.
//
// A plain mutex: it is taken when a connection begins, and when a member could not be asked.
type contacts struct {
	security    Security
	credentials credentials.TransportCredentials // Of all connections, before they are watched.
	// plainFor is an address for which there must be no connection without TLS, "" if there may. It matters where the caller
	// gives dial options: they may bring TLS, which only shows when our credentials are not asked.
	plainFor string

	mu    sync.Mutex
	byURL map[string]record // Guarded by mu.
}

// record is what is known of a URL.
type record struct {
	refusal *refusal  // Why connections do not begin, nil if nothing is known.
	probed  time.Time // When the server was last asked whether it speaks the other way.
}

const (
	// maxRecords bounds the memory that lists of ever new addresses take.
	maxRecords = 1024
	// probeEvery bounds what it costs a server that hangs up. What was found out counts until then.
	probeEvery   = 10 * time.Second
	probeTimeout = time.Second
	// alertPatience is how long an alert may take that a server sends before it hangs up. It is there already, mostly.
	alertPatience = 100 * time.Millisecond
)

func newContacts(s Security, creds credentials.TransportCredentials, plainFor string) *contacts {
	return &contacts{security: s, credentials: creds, plainFor: plainFor, byURL: make(map[string]record)}
}

// explain returns why a member could not be asked, in better words than gRPC's if there are any.
func (c *contacts) explain(url string, err error) error {
	if !pderr.Unreachable(err) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.byURL[url].refusal; r != nil {
		return r
	}
	return err
}

// note keeps why a connection has not begun; nil says that it has, or that something else is in the way.
func (c *contacts) note(url string, r *refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.byURL[url]
	if !ok && r == nil {
		return
	}
	known.refusal = r
	c.put(url, known)
}

// put is under mu.
func (c *contacts) put(url string, r record) {
	if len(c.byURL) >= maxRecords {
		clear(c.byURL)
	}
	c.byURL[url] = r
}

// mayProbe reports whether a server may be asked whether it speaks the other way, and what is known if not.
func (c *contacts) mayProbe(url string, now time.Time) (bool, *refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.byURL[url]
	if !known.probed.IsZero() && now.Sub(known.probed) < probeEvery {
		return false, known.refusal
	}
	known.probed = now
	c.put(url, known)
	return true, nil
}

// contact is how one gRPC connection gets to its server.
type contact struct {
	*contacts
	url  string // In normal form.
	dial func(ctx context.Context, address string) (net.Conn, error)
	// address is what dial was last asked for. nil means that a dialer of the caller's has taken its place: then there may
	// be no other way to the server.
	address atomic.Pointer[string]
}

// options returns the dial options of a connection to a URL.
func (c *contacts) options(url string, dial func(ctx context.Context, address string) (net.Conn, error)) []grpc.DialOption {
	to := &contact{contacts: c, url: url, dial: dial}
	return []grpc.DialOption{grpc.WithContextDialer(to.connect), grpc.WithTransportCredentials(to.creds())}
}

// creds returns the credentials of one connection.
func (c *contact) creds() credentials.TransportCredentials {
	if reloading, ok := c.credentials.(*reloadingCreds); ok {
		return reloading.watchedBy(c)
	}
	return plainCreds{c.credentials, c}
}

func (c *contact) connect(ctx context.Context, address string) (net.Conn, error) {
	c.address.Store(&address)
	conn, err := c.dial(ctx, address)
	if err != nil {
		c.note(c.url, nil)
	}
	return conn, err
}

// plainCreds are the credentials of a connection without TLS.
type plainCreds struct {
	credentials.TransportCredentials
	contact *contact
}

// ClientHandshake implements credentials.TransportCredentials.
func (p plainCreds) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if p.contact.plainFor != "" {
		r := asRefusal(errPlainForbidden(p.contact.plainFor))
		p.contact.note(p.contact.url, r)
		return nil, nil, r
	}
	conn, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		return nil, nil, err
	}
	return newWatchedConn(conn, &attempt{contact: p.contact, ctx: ctx}), info, nil
}

// Clone implements credentials.TransportCredentials.
func (p plainCreds) Clone() credentials.TransportCredentials { return p }

// attempt is one connection that begins. ctx ends when gRPC has had the server's first frame, or wants no more of it.
type attempt struct {
	contact *contact
	ctx     context.Context
	secure  bool
	// asked and sent are handshake's. Set on the handshake's goroutine, which may outlive the handshake's context.
	asked, sent atomic.Bool
}

// choose is tls.Config.GetClientCertificate: it does what the standard library does without it, and takes notes.
func (a *attempt) choose(certs []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		a.asked.Store(true)
		for i := range certs {
			if request.SupportsCertificate(&certs[i]) == nil {
				a.sent.Store(true)
				return &certs[i], nil
			}
		}
		return new(tls.Certificate), nil
	}
}

// failed returns the reason why the server has sent nothing, in words if there are any: err may be the connection's end only.
func (a *attempt) failed(err error) error {
	if a.ctx.Err() != nil {
		return err // Nobody waits for it, or it has taken too long, which says nothing.
	}
	var r *refusal
	if a.secure {
		r = handshake{a.contact.security, a.asked.Load(), a.sent.Load()}.refusal(err)
	}
	if r == nil && hungUp(err) {
		r = a.contact.probe(a.ctx, a.secure)
	}
	a.contact.note(a.contact.url, r)
	if r == nil {
		return err
	}
	return r
}

// began takes note of the server's first bytes, and returns why they are none that this client can read, or nil.
func (a *attempt) began(head []byte) error {
	if !a.secure && (isTLS(head) || wantsHTTPS(head)) {
		r := asRefusal(errServerSpeaksTLS)
		a.contact.note(a.contact.url, r)
		return r
	}
	a.contact.note(a.contact.url, nil)
	return nil
}

// wantsHTTPS reports whether a server, or what lies before it, says in HTTP that it is spoken to without TLS.
func wantsHTTPS(head []byte) bool {
	return bytes.HasPrefix(head, []byte("HTTP/1.")) && bytes.Contains(head, []byte("HTTPS"))
}

// watchedConn is a connection whose first bytes are looked at. After them it costs a load per call.
type watchedConn struct {
	net.Conn
	attempt *attempt

	begun atomic.Bool   // The first Read has returned.
	ended chan struct{} // Closed then, with why as the first Read has left it.
	why   error
}

func newWatchedConn(conn net.Conn, a *attempt) *watchedConn {
	return &watchedConn{Conn: conn, attempt: a, ended: make(chan struct{})}
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (int, error) {
	if c.begun.Load() {
		return c.Conn.Read(p)
	}
	return c.readFirst(p)
}

func (c *watchedConn) readFirst(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	var why error
	switch {
	case n > 0:
		why = c.attempt.began(p[:n])
	case err != nil:
		why = c.attempt.failed(err)
	default:
		return 0, nil // Nothing was asked for.
	}
	if c.begun.CompareAndSwap(false, true) {
		c.why = why
		close(c.ended)
	}
	if why != nil {
		return 0, why
	}
	return n, err
}

// Write implements net.Conn. A server that refuses a client says so and hangs up, and a Write that meets its end is no news:
// what it has said is with the first Read.
func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && c.waitEnded() && c.why != nil {
		err = c.why
	}
	return n, err
}

// waitEnded waits for the end of the first Read, and reports whether it has come.
func (c *watchedConn) waitEnded() bool {
	patience := time.NewTimer(alertPatience)
	defer patience.Stop()
	select {
	case <-c.ended:
		return true
	case <-patience.C:
		return false
	}
}

// SyscallConn implements syscall.Conn, which gRPC's channelz asks for socket options.
func (c *watchedConn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.Conn.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
