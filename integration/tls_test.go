package integration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/pdcluster"
)

func byPath(c *pdcluster.Credentials) tso.SecurityOption {
	return tso.SecurityOption{CAPath: c.CAPath, CertPath: c.CertPath, KeyPath: c.KeyPath}
}

func byBytes(c *pdcluster.Credentials) tso.SecurityOption {
	return tso.SecurityOption{SSLCABytes: c.CA, SSLCertBytes: c.Cert, SSLKEYBytes: c.Key}
}

func TestTLS_LoadIsServedInOrder(t *testing.T) {
	cluster := threeTLS.use(t)
	wrongScheme := make([]string, 0, 3)
	for _, url := range cluster.ClientURLs() {
		wrongScheme = append(wrongScheme, strings.Replace(url, "https://", "http://", 1))
	}
	l := newLoad(100_000)
	for _, how := range []struct {
		name     string
		urls     []string
		security tso.SecurityOption
	}{
		{"paths", cluster.ClientURLs(), byPath(cluster.TLS)},
		{"bytes", cluster.ClientURLs(), byBytes(cluster.TLS)},
		{"http seeds", wrongScheme, byBytes(cluster.TLS)},
	} {
		client := connect(t, how.urls, how.security)
		_, _, err := client.GetTS(bounded(t, 20*time.Second))
		require.NoError(t, err, how.name)
		require.True(t, strings.HasPrefix(client.GetLeaderAddr(), "https://"), how.name)
		l.callers(16, client, global)
		l.futures(8, 16, client, global)
	}
	l.wait().requireClean(t)
}

func TestTLS_LeaderMovesUnderLoad(t *testing.T) {
	cluster := threeTLS.use(t)
	l := startLeaderLoad(t, cluster, byPath(cluster.TLS))
	l.change("resign", func(ctx context.Context, _ *pdcluster.Member) error { return cluster.Resign(ctx) })
	l.finish().requireClean(t)
}

// What cannot work says so at once, and what to change.
func TestTLS_WrongCertificatesAreRefused(t *testing.T) {
	cluster := threeTLS.use(t)
	foreign := byBytes(cluster.TLS)
	foreign.SSLCABytes = foreignAuthority(t)
	mixed := byBytes(cluster.TLS)
	mixed.SSLKEYBytes = mixed.SSLCertBytes
	missing := byPath(cluster.TLS)
	missing.CAPath += ".missing"
	onlyCA := tso.SecurityOption{SSLCABytes: cluster.TLS.CA}
	noScheme, withScheme := hostPorts(cluster.ClientURLs()), cluster.ClientURLs()
	for _, wrong := range []struct {
		name     string
		urls     []string
		security tso.SecurityOption
		says     string
	}{
		{"foreign authority", withScheme, foreign, "not signed by a CA of SSLCABytes"},
		{"no client certificate", withScheme, onlyCA, "the server demands a client certificate: set SecurityOption.CertPath"},
		{"no TLS", noScheme, plain, "the server speaks TLS, but no certificates are configured: set SecurityOption.CAPath"},
		{"no TLS for https", withScheme, plain, "asks for TLS, but no certificates are configured: set SecurityOption.CAPath"},
		{"certificate as key", withScheme, mixed, "SSLKEYBytes"},
		{"no such file", withScheme, missing, missing.CAPath},
	} {
		t.Run(wrong.name, func(t *testing.T) { requireRefused(t, wrong.urls, wrong.security, wrong.says) })
	}
}

func TestTLS_IsNotWhatAPlainClusterSpeaks(t *testing.T) {
	cluster := oneNode.use(t)
	security := tso.SecurityOption{SSLCABytes: foreignAuthority(t)}
	requireRefused(t, cluster.ClientURLs(), security, "the server does not speak TLS: turn TLS on in PD, or leave SecurityOption empty")
}

// requireRefused requires that NewClient says so at its first try.
func requireRefused(t *testing.T, urls []string, security tso.SecurityOption, says string) {
	t.Helper()
	began := time.Now()
	client, err := tso.NewClient(urls, security, logTo(t))
	took := time.Since(began)
	require.Error(t, err)
	require.Nil(t, client)
	t.Logf("refused in %v: %v", took, err)
	require.ErrorIs(t, err, tso.ErrSecurity)
	require.ErrorContains(t, err, says)
	require.Less(t, took, 12*time.Second)
}

// hostPorts returns URLs without their schemes.
func hostPorts(urls []string) []string {
	var bare []string
	for _, url := range urls {
		_, host, _ := strings.Cut(url, "://")
		bare = append(bare, host)
	}
	return bare
}

// foreignAuthority returns the certificate of an authority that has signed
// nothing here.
func foreignAuthority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "somebody else"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// A certificate that is replaced on disk is used from the next connection on: when the
// old one is no longer valid, the members refuse it, and callers see nothing of that.
func TestTLS_CertificateIsReplacedUnderLoad(t *testing.T) {
	cluster := threeTLS.use(t)
	const lifetime = 8 * time.Second
	began := time.Now()
	old, err := cluster.Issue("rotated", lifetime)
	require.NoError(t, err)
	expired := byBytes(old)
	l := startLeaderLoad(t, cluster, byPath(old))
	_, err = cluster.Issue("rotated", time.Hour)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return time.Since(began) > lifetime+time.Second }, time.Minute, 10*time.Millisecond)
	requireRefused(t, cluster.ClientURLs(), expired, "SSLCertBytes expired on")

	dead := l.change("kill -9", func(_ context.Context, leader *pdcluster.Member) error { return leader.Kill() })
	require.NoError(t, dead.Launch())
	require.NoError(t, dead.WaitServing(bounded(t, time.Minute)))
	for leader := (*pdcluster.Member)(nil); leader != dead; { // who has no connection from before
		l.change("transfer", func(ctx context.Context, _ *pdcluster.Member) error { return cluster.TransferLeader(ctx, dead.Name) })
		leader, err = cluster.WaitLeader(bounded(t, time.Minute))
		require.NoError(t, err)
	}
	l.finish().requireClean(t)
}
