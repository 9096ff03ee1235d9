package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// selfSigned returns the configuration of a server on this machine whose certificate is its
// own authority, and that as PEM.
func selfSigned(t *testing.T) (config *tls.Config, authority []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: t.Name()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	config = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Certificates are exchanged member by member, so while those of all members are foreign a
// client waits, and its calls say what they wait for.
func TestRunningClientOutlivesForeignCertificates(t *testing.T) {
	good, authority := selfSigned(t)
	foreign, _ := selfSigned(t)
	var shown atomic.Pointer[tls.Config]
	shown.Store(good)
	config := good.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := shown.Load().Clone()
		c.NextProtos = []string{"h2"}
		return c, nil
	}
	s := tsotest.New(t, tsotest.WithMembers(3), tsotest.WithTLS(config))
	client, err := tso.NewClient(s.URLs(), tso.SecurityOption{SSLCABytes: authority}, tso.WithRequestBudget(time.Second))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	getTS(t, client)

	shown.Store(foreign)
	for member := range 3 {
		require.NoError(t, s.ResetConns(member))
	}
	_, _, err = client.GetTS(context.Background())
	require.ErrorIs(t, err, tso.ErrBudgetSpent)
	require.ErrorContains(t, err, "the server's certificate is not signed by a CA of SSLCABytes")

	shown.Store(good)
	require.Eventually(t, func() bool {
		_, _, err := client.GetTS(context.Background())
		return err == nil
	}, 20*time.Second, time.Millisecond)
}
