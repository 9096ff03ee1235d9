package member

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// TestContact_Refusals is the other half of rotation: whatever is read anew, a member must still prove who it is. And what can
// never work is said in words, at the first try.
func TestContact_Refusals(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	with := func(p issued) Security { return Security{SSLCABytes: ca.pem, SSLCertBytes: p.cert, SSLKEYBytes: p.key} }
	server := func(change func(*tls.Config)) *tls.Config {
		config := ca.issue(t, valid("server")).config(t)
		change(config)
		return config
	}
	mutual := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool() }
	anyClient := func(c *tls.Config) { // It names no CAs, so that every certificate is sent.
		c.ClientAuth, c.VerifyPeerCertificate = tls.RequireAnyClientCert, func([][]byte, [][]*x509.Certificate) error { return errors.New("no") }
	}
	older := func(change func(*tls.Config)) func(*tls.Config) {
		return func(c *tls.Config) { change(c); c.MaxVersion = tls.VersionTLS12 }
	}
	for name, c := range map[string]struct {
		server   *tls.Config
		security Security
		says     string // "" if it must succeed
	}{
		"trusted": {server(func(*tls.Config) {}), Security{SSLCABytes: ca.pem}, ""},
		"mutual":  {server(mutual), with(ca.issue(t, valid("client"))), ""},

		"TLS against plain":   {nil, Security{SSLCABytes: ca.pem}, "the server does not speak TLS: turn TLS on in PD, or leave SecurityOption empty"},
		"plain against TLS":   {server(func(*tls.Config) {}), Security{}, "the server speaks TLS, but no certificates are configured: set SecurityOption.CAPath"},
		"untrusted CA":        {other.issue(t, valid("server")).config(t), Security{SSLCABytes: ca.pem}, "not signed by a CA of SSLCABytes"},
		"another host's name": {ca.issue(t, elsewhere("server")).config(t), Security{SSLCABytes: ca.pem}, "not for this address"},
		"expired server":      {ca.issue(t, expired("server")).config(t), Security{SSLCABytes: ca.pem}, "out of date: renew it, or check this machine's clock"},
		"TLS 1.1":             {server(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), Security{SSLCABytes: ca.pem}, "protocol version"},

		"no certificate":                {server(mutual), Security{SSLCABytes: ca.pem}, "demands a client certificate: set SecurityOption.CertPath"},
		"no certificate, TLS 1.2":       {server(older(mutual)), Security{SSLCABytes: ca.pem}, "demands a client certificate: set SecurityOption.CertPath"},
		"foreign certificate":           {server(mutual), with(other.issue(t, valid("client"))), "of CAs that have not signed SSLCertBytes"},
		"refused certificate":           {server(anyClient), with(ca.issue(t, valid("client"))), "does not accept the client certificate of SSLCertBytes"},
		"refused certificate, TLS 1.2":  {server(older(anyClient)), with(ca.issue(t, valid("client"))), "does not accept the client certificate of SSLCertBytes"},
		"certificate for servers alone": {server(mutual), with(ca.issue(t, notForClients("client"))), "does not accept the client certificate of SSLCertBytes"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 { // How it shows depends on who is quicker, the server's alert or the client's first bytes.
				f := startMember(t, c.server)
				f.say(cluster(f.url))
				began := time.Now()
				m, err := New(t.Context(), Config{Seeds: []string{hostOf(f)}, Security: c.security, InitTimeout: soon})
				if c.says == "" {
					require.NoError(t, err)
					m.Close()
					continue
				}
				require.ErrorIs(t, err, ErrSecurity)
				require.ErrorIs(t, err, ErrUnavailable)
				require.ErrorContains(t, err, c.says)
				require.Zero(t, f.calls.Load(), "nothing may be said before the handshake")
				require.Less(t, time.Since(began), soon, "it is final")
			}
		})
	}
}

// hostOf returns a member's address without the scheme.
func hostOf(f *fakeMember) string {
	_, host, _ := strings.Cut(f.url, "://")
	return host
}

func notForClients(name string) *x509.Certificate {
	c := valid(name)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return c
}

// What TLS said stays visible to errors.As.
func TestContact_ErrorsOfTLSAreKept(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	f := startMember(t, other.issue(t, valid("server")).config(t))
	_, err := New(t.Context(), Config{Seeds: []string{f.url}, Security: Security{SSLCABytes: ca.pem}})
	var foreign x509.UnknownAuthorityError
	require.ErrorAs(t, err, &foreign)
}

// An address that asks for TLS is never spoken to without.
func TestContact_NoPlainConnectionForHTTPS(t *testing.T) {
	f := startMembers(t, 1)[0]
	https := "https://" + hostOf(f)
	for name, seeds := range map[string][]string{
		"alone":      {https},
		"among them": {f.url, " HTTPS" + https[len("https"):]},
	} {
		for options, opts := range map[string][]grpc.DialOption{
			"no dial options":          nil,
			"dial options without TLS": {grpc.WithUserAgent("somebody")},
			"a dialer of the caller's": {grpc.WithContextDialer(dialTCP)},
		} {
			_, err := New(t.Context(), Config{Seeds: seeds, DialOptions: opts})
			require.ErrorIs(t, err, ErrSecurity, "%s, %s", name, options)
			require.ErrorContains(t, err, "set SecurityOption.CAPath (or SSLCABytes), or write http://")
		}
	}
	require.Zero(t, f.calls.Load())
}

// Dial options may bring TLS, and then they are in charge of it, also where addresses say https.
func TestContact_DialOptionsBringTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := startMember(t, ca.issue(t, valid("server")).config(t))
	f.say(cluster(f.url))
	brought := grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}))
	for _, seed := range []string{f.url, hostOf(f)} {
		m := open(t, Config{Seeds: []string{seed}, DialOptions: []grpc.DialOption{brought}})
		refreshed(t, m)
		require.Positive(t, f.calls.Load())
	}
	// And whoever brings credentials without TLS has said so.
	plain := startMembers(t, 1)[0]
	open(t, Config{
		Seeds:       []string{"https://" + hostOf(plain)},
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
}

// One member that can be spoken to is enough, and what is wrong with the others is told when they are needed.
func TestContact_OneOfSeveralIsEnough(t *testing.T) {
	ca := newAuthority(t, "ca")
	good, plain := startMember(t, ca.issue(t, valid("server")).config(t)), startMember(t, nil)
	good.say(cluster(good.url, plain.url))
	m := open(t, Config{Seeds: []string{plain.url, good.url}, Security: Security{SSLCABytes: ca.pem}})
	require.Equal(t, good.url, m.Snapshot().Leader)

	good.say(new(pdpb.GetMembersResponse))
	_, err := m.RefreshWait(t.Context())
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "the server does not speak TLS")

	good.say(cluster(good.url))
	require.Equal(t, good.url, refreshed(t, m).Leader)
}

// scriptedServer takes connections and does with each what it is told to. It counts them.
func scriptedServer(t *testing.T, serve func(net.Conn)) (address string, count *atomic.Int64) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	count = new(atomic.Int64)
	running.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			serve(conn)
			conn.Close()
		}
	})
	t.Cleanup(func() { lis.Close(); running.Wait() })
	return lis.Addr().String(), count
}

// Servers that are not Go's say in bytes that they want TLS.
func TestContact_AnswersToPlainBytes(t *testing.T) {
	for name, answer := range map[string]string{
		"an alert":        "\x15\x03\x01\x00\x02\x02\x46",
		"nginx's page":    "HTTP/1.1 400 Bad Request\r\n\r\n400 The plain HTTP request was sent to HTTPS port",
		"net/http's page": "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
	} {
		address, _ := scriptedServer(t, func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 24))
			_, _ = io.WriteString(conn, answer)
			_, _ = io.Copy(io.Discard, conn)
		})
		_, err := New(t.Context(), Config{Seeds: []string{address}, InitTimeout: soon})
		require.ErrorIs(t, err, ErrSecurity, name)
		require.ErrorContains(t, err, "the server speaks TLS", name)
	}
}

// A server that hangs up whatever it is told may be back soon: nothing is final, and it is not asked twice each time.
func TestContact_HangingUpIsNoRefusal(t *testing.T) {
	for name, security := range map[string]Security{"plain": {}, "TLS": {SSLCABytes: newAuthority(t, "ca").pem}} {
		address, count := scriptedServer(t, func(net.Conn) {})
		_, err := New(t.Context(), Config{Seeds: []string{address}, Security: security, InitTimeout: time.Second})
		require.ErrorIs(t, err, ErrUnavailable, name)
		require.NotErrorIs(t, err, ErrSecurity, name)
		require.LessOrEqual(t, count.Load(), int64(8), "%s: five rounds or so, and one look", name)
	}
}

// firstWords is a connection whose Read and Write do what a test says.
type firstWords struct {
	net.Conn
	read  func() error
	write error
}

func (f *firstWords) Read([]byte) (int, error)    { return 0, f.read() }
func (f *firstWords) Write(p []byte) (int, error) { return 0, f.write }

// A server refuses and hangs up. Where a Write meets the end first, the reason is still told.
func TestWatchedConn_WriteTellsWhatReadHasHeard(t *testing.T) {
	reached := make(chan struct{})
	demand := &net.OpError{Op: "remote error", Err: alertCertificateRequired}
	conn := &firstWords{write: syscall.EPIPE, read: func() error { <-reached; return demand }}
	begins := &attempt{ctx: t.Context(), secure: true}
	begins.contact = &contact{contacts: newContacts(Security{}, nil, ""), url: "https://a:1"}
	begins.asked.Store(true)
	watched := newWatchedConn(conn, begins)

	var reading sync.WaitGroup
	reading.Go(func() { _, _ = watched.Read(make([]byte, 1)) })
	written := make(chan error)
	go func() { _, err := watched.Write([]byte("x")); written <- err }()
	close(reached)
	err := <-written
	require.ErrorIs(t, err, ErrSecurity)
	require.ErrorContains(t, err, "demands a client certificate")
	reading.Wait()

	// Later on, an error is what it is.
	conn.write = syscall.ECONNRESET
	begins.contact.note("https://a:1", nil)
	_, err = newWatchedConn(&firstWords{write: io.ErrClosedPipe, read: func() error { return nil }}, begins).Write([]byte("x"))
	require.Equal(t, io.ErrClosedPipe, err)
}

// Nothing of ours is in the way of what is asked of a socket.
func TestWatchedConn_IsASocket(t *testing.T) {
	address, _ := scriptedServer(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	tcp, err := dialTCP(t.Context(), address)
	require.NoError(t, err)
	defer tcp.Close()
	watched := newWatchedConn(tcp, nil)
	_, err = watched.SyscallConn()
	require.NoError(t, err)
	_, err = newWatchedConn(&firstWords{}, nil).SyscallConn()
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// What was in the way is not told any more once a connection has begun, or meets something else.
func TestContacts_ForgetWhatIsOver(t *testing.T) {
	unreachable := status.Error(codes.Unavailable, "nobody there")
	for name, over := range map[string]func(*contact){
		"a good beginning": func(c *contact) {
			require.NoError(t, (&attempt{contact: c, ctx: t.Context()}).began([]byte("\x00\x00\x06\x04\x00")))
		},
		"another failure": func(c *contact) {
			require.Error(t, (&attempt{contact: c, ctx: t.Context()}).failed(io.ErrNoProgress))
		},
		"nobody listens": func(c *contact) {
			_, err := c.connect(t.Context(), "a:1")
			require.Error(t, err)
		},
	} {
		c := &contact{contacts: newContacts(Security{}, nil, ""), url: "http://a:1", dial: func(context.Context, string) (net.Conn, error) {
			return nil, syscall.ECONNREFUSED
		}}
		c.note("http://a:1", asRefusal(errServerSpeaksTLS))
		require.ErrorIs(t, c.explain("http://a:1", unreachable), ErrSecurity)
		require.Equal(t, io.EOF, c.explain("http://a:1", io.EOF), "an answer is no failure to begin")
		require.Equal(t, unreachable, c.explain("http://b:1", unreachable))
		over(c)
		require.Equal(t, unreachable, c.explain("http://a:1", unreachable), name)
	}
}

// Lists that name ever new addresses take bounded memory.
func TestContacts_AreBounded(t *testing.T) {
	c := newContacts(Security{}, nil, "")
	for i := range 3 * maxRecords {
		c.note(string(rune('a'+i)), asRefusal(errServerSpeaksTLS))
	}
	require.LessOrEqual(t, len(c.byURL), maxRecords)
}
