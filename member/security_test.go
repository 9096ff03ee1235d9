package member

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

func TestSecurity_Errors(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	good, expired := ca.issue(t, valid("client")), ca.issue(t, expired("client"))
	future := ca.issue(t, notYet("client"))
	oldCA := newAuthorityUntil(t, "old", time.Now().Add(-time.Hour))

	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	caPath, certPath, keyPath := write("ca.pem", ca.pem), write("cert.pem", good.cert), write("key.pem", good.key)
	otherKey := write("other-key.pem", other.issue(t, valid("client")).key)
	missing := filepath.Join(dir, "missing.pem")
	empty := write("empty.pem", nil)

	for name, c := range map[string]struct {
		security Security
		says     string
	}{
		"no CA file":           {Security{CAPath: missing}, missing},
		"empty CA file":        {Security{CAPath: empty}, empty},
		"CA is a key":          {Security{CAPath: keyPath}, "key.pem"},
		"no certificate file":  {Security{CAPath: caPath, CertPath: missing, KeyPath: keyPath}, missing},
		"no key file":          {Security{CAPath: caPath, CertPath: certPath, KeyPath: missing}, missing},
		"certificate, no key":  {Security{CAPath: caPath, CertPath: certPath}, "set KeyPath"},
		"key, no certificate":  {Security{CAPath: caPath, KeyPath: keyPath}, "set CertPath"},
		"certificate, no CA":   {Security{CertPath: certPath, KeyPath: keyPath}, "set CAPath"},
		"another's key":        {Security{CAPath: caPath, CertPath: certPath, KeyPath: otherKey}, "other-key.pem"},
		"expired certificate":  {Security{CAPath: caPath, CertPath: write("expired.pem", expired.cert), KeyPath: write("expired-key.pem", expired.key)}, "expired.pem"},
		"future certificate":   {Security{CAPath: caPath, SSLCertBytes: future.cert, SSLKEYBytes: future.key}, "clock"},
		"expired CA":           {Security{SSLCABytes: oldCA.pem}, "SSLCABytes expired"},
		"bytes that are none":  {Security{SSLCABytes: []byte("hello")}, "SSLCABytes"},
		"bytes, another's key": {Security{SSLCABytes: ca.pem, SSLCertBytes: good.cert, SSLKEYBytes: expired.key}, "SSLKEYBytes"},
	} {
		_, err := New(t.Context(), Config{Seeds: []string{"127.0.0.1:1"}, Security: c.security})
		require.ErrorIs(t, err, ErrSecurity, name)
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestSecurity_OneValidCAOfABundleIsEnough(t *testing.T) {
	old, current := newAuthorityUntil(t, "old", time.Now().Add(-time.Hour)), newAuthority(t, "current")
	_, err := Security{SSLCABytes: append(old.pem, current.pem...)}.credentials(nil)
	require.NoError(t, err)
}

func TestSecurity_MembersAdvertisePlainURLs(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := startMember(t, ca.issue(t, valid("server")).config(t))
	plain := "http://" + f.url[len("https://"):]
	f.say(cluster(plain))
	m := open(t, Config{Seeds: []string{plain}, Security: Security{SSLCABytes: ca.pem}})
	require.Equal(t, f.url, m.Snapshot().Leader)
	require.Equal(t, []string{f.url}, m.Snapshot().URLs)
}

// TestSecurity_RotationOnDisk replaces the client's certificate, then the CA and the server's certificate, and looks at
// what the next handshakes use.
func TestSecurity_RotationOnDisk(t *testing.T) {
	oldCA, newCA := newAuthority(t, "old"), newAuthority(t, "new")
	dir := t.TempDir()
	security := Security{
		CAPath: filepath.Join(dir, "ca"), CertPath: filepath.Join(dir, "cert"), KeyPath: filepath.Join(dir, "key"),
	}
	install := func(path string, data []byte) { require.NoError(t, os.WriteFile(path, data, 0o600)) }
	installPair := func(p issued) { install(security.CertPath, p.cert); install(security.KeyPath, p.key) }
	install(security.CAPath, oldCA.pem)
	installPair(oldCA.issue(t, valid("client-1")))

	// The server trusts both CAs, shows the certificate of the moment, and notes who called.
	var server atomic.Pointer[tls.Config]
	var caller atomic.Pointer[string]
	serve := func(p issued) {
		config := p.config(t)
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, oldCA.pool()
		config.ClientCAs.AppendCertsFromPEM(newCA.pem)
		config.NextProtos = []string{"h2"}
		config.VerifyConnection = func(state tls.ConnectionState) error {
			caller.Store(&state.PeerCertificates[0].Subject.CommonName)
			return nil
		}
		server.Store(config)
	}
	serve(oldCA.issue(t, valid("server")))
	f := startMember(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return server.Load(), nil
	}})
	f.say(cluster(f.url))
	m := open(t, Config{Seeds: []string{f.url}, Security: security})
	require.Equal(t, "client-1", *caller.Load())

	reconnect := func() {
		m.conns.retain(nil) // As if the member had left: the next call needs a new connection.
		refreshed(t, m)
	}
	installPair(newCA.issue(t, valid("client-2")))
	reconnect()
	require.Equal(t, "client-2", *caller.Load())

	install(security.CAPath, newCA.pem)
	serve(newCA.issue(t, valid("server")))
	installPair(newCA.issue(t, valid("client-3")))
	reconnect()
	require.Equal(t, "client-3", *caller.Load())

	// Half a rotation: a certificate without its key. The last good pair is used, and then the new one.
	next := newCA.issue(t, valid("client-4"))
	install(security.CertPath, next.cert)
	reconnect()
	require.Equal(t, "client-3", *caller.Load())
	install(security.KeyPath, next.key)
	reconnect()
	require.Equal(t, "client-4", *caller.Load())

	// The old CA is not trusted any more.
	serve(oldCA.issue(t, valid("server")))
	m.conns.retain(nil)
	_, err := m.RefreshWait(t.Context())
	require.ErrorContains(t, err, "unknown authority")
}

func TestCreds_ServerNameOverride(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := startMember(t, ca.issue(t, elsewhere("server")).config(t))
	f.say(cluster(f.url))
	m := open(t, Config{
		Seeds: []string{f.url}, Security: Security{SSLCABytes: ca.pem},
		DialOptions: []grpc.DialOption{grpc.WithAuthority("elsewhere.example")},
	})
	require.Equal(t, f.url, m.Snapshot().Leader)

	creds, err := Security{SSLCABytes: ca.pem}.credentials(nil)
	require.NoError(t, err)
	clone := creds.Clone()
	require.NoError(t, clone.OverrideServerName("elsewhere.example")) //nolint:staticcheck // part of the interface
	require.Empty(t, creds.Info().ServerName)                         //nolint:staticcheck // part of the interface
	require.Equal(t, "elsewhere.example", clone.Info().ServerName)    //nolint:staticcheck // part of the interface
	require.Equal(t, "tls", clone.Info().SecurityProtocol)

	conn, err := grpc.NewClient(dialTarget(f.url), grpc.WithTransportCredentials(clone))
	require.NoError(t, err)
	defer conn.Close()
	conn.Connect()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for s := conn.GetState(); s != connectivity.Ready; s = conn.GetState() {
		require.NotEqual(t, connectivity.TransientFailure, s)
		require.True(t, conn.WaitForStateChange(ctx, s))
	}
}
