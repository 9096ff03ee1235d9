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

// What cannot work says so soon, and why.
func TestTLS_WrongCertificatesAreRefused(t *testing.T) {
	cluster := threeTLS.use(t)
	foreign := byBytes(cluster.TLS)
	foreign.SSLCABytes = foreignAuthority(t)
	mixed := byBytes(cluster.TLS)
	mixed.SSLKEYBytes = mixed.SSLCertBytes
	missing := byPath(cluster.TLS)
	missing.CAPath += ".missing"
	onlyCA := tso.SecurityOption{SSLCABytes: cluster.TLS.CA}
	for _, wrong := range []struct {
		name     string
		security tso.SecurityOption
		is       error // nil: PD or the handshake says it
		says     string
	}{
		{"foreign authority", foreign, nil, "certificate signed by unknown authority"},
		// Which of the two it says is a race in gRPC between the server's alert
		// and the client's first write.
		{"no client certificate", onlyCA, nil, "client URLs of PD"},
		{"no TLS", plain, nil, "client URLs of PD"},
		{"certificate as key", mixed, tso.ErrSecurity, "SSLKEYBytes"},
		{"no such file", missing, tso.ErrSecurity, missing.CAPath},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			began := time.Now()
			client, err := tso.NewClient(cluster.ClientURLs(), wrong.security, logTo(t), tso.WithMaxErrorRetry(2))
			took := time.Since(began)
			require.Error(t, err)
			require.Nil(t, client)
			t.Logf("refused in %v: %v", took, err)
			require.ErrorContains(t, err, wrong.says)
			if wrong.is != nil {
				require.ErrorIs(t, err, wrong.is)
			}
			require.Less(t, took, 12*time.Second)
		})
	}
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
	client, err := tso.NewClient(cluster.ClientURLs(), expired, logTo(t), tso.WithMaxErrorRetry(2))
	require.Error(t, err, "the old certificate is still good, and this test shows nothing")
	require.Nil(t, client)

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
