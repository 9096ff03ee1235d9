package pdcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Credentials are what a client needs to speak to a cluster with TLS: the
// authority that signed the members' certificates, and a certificate and key of
// its own. Each comes as a PEM file and as the bytes of that file.
type Credentials struct {
	CAPath, CertPath, KeyPath string
	CA, Cert, Key             []byte
}

// Config returns the configuration of a client that uses c.
func (c *Credentials) Config() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CA) {
		return nil, errors.New("pdcluster: no certificate of an authority")
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
	}, nil
}

// authority signs the certificates of one cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	template := certificate("pdcluster authority", lifetimeOfOwn)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	return &authority{cert: template, key: key, pem: pemBlock("CERTIFICATE", der)}, nil
}

// Issue writes a certificate for another client, which is valid for so long, and its
// key into the cluster's folder. The same name again replaces both files, one after the
// other, as whoever rotates certificates on a disk does.
func (c *Cluster) Issue(name string, lifetime time.Duration) (*Credentials, error) {
	if c.authority == nil {
		return nil, errors.New("pdcluster: Issue needs Config.TLS")
	}
	return c.authority.issue(c.dir, "client-"+name, lifetime)
}

// lifetimeOfOwn is for how long the certificates of a cluster itself are valid.
const lifetimeOfOwn = 7 * 24 * time.Hour

// issue writes a certificate with the given name and its key into dir.
func (a *authority) issue(dir, name string, lifetime time.Duration) (*Credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate(name, lifetime), a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	c := &Credentials{
		CAPath:   filepath.Join(dir, "ca.pem"),
		CertPath: filepath.Join(dir, name+".pem"),
		KeyPath:  filepath.Join(dir, name+"-key.pem"),
		CA:       a.pem,
		Cert:     pemBlock("CERTIFICATE", der),
		Key:      pemBlock("PRIVATE KEY", keyDER),
	}
	return c, c.write()
}

func (c *Credentials) write() error {
	for path, content := range map[string][]byte{c.CAPath: c.CA, c.CertPath: c.Cert, c.KeyPath: c.Key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("pdcluster: %w", err)
		}
	}
	return nil
}

// certificate returns the template of a certificate for this machine. Members
// use theirs on both sides, among each other.
func certificate(name string, lifetime time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
