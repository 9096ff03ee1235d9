package member

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Security says how connections are encrypted: with a certificate authority (CA) that vouches for the members, and for
// mutual TLS a certificate of the client with its key. Each comes from a file or as the bytes of one, in PEM form; if
// both are given the bytes are used. Nothing given means no encryption, unless Config.DialOptions bring it, and is refused for
// an address with https://; a CA alone is enough for encryption; a certificate needs its key, and both need a CA.
//
// Files are read when the client is made and again before each handshake, so a certificate or CA that was replaced on
// disk is in use from the next connection on.
type Security struct {
	CAPath   string
	CertPath string
	KeyPath  string

	SSLCABytes   []byte
	SSLCertBytes []byte
	SSLKEYBytes  []byte
}

func (s Security) ca() pemSource { return pemSource{"CAPath", s.CAPath, "SSLCABytes", s.SSLCABytes} }
func (s Security) cert() pemSource {
	return pemSource{"CertPath", s.CertPath, "SSLCertBytes", s.SSLCertBytes}
}
func (s Security) key() pemSource {
	return pemSource{"KeyPath", s.KeyPath, "SSLKEYBytes", s.SSLKEYBytes}
}

func (s Security) enabled() bool {
	return s.ca().given() || s.cert().given() || s.key().given()
}

// credentials checks everything that can be checked without a server.
func (s Security) credentials(log *zap.Logger) (credentials.TransportCredentials, error) {
	if !s.enabled() {
		return insecure.NewCredentials(), nil
	}
	if err := s.complete(); err != nil {
		return nil, err
	}
	loaded, err := s.load()
	if err != nil {
		return nil, err
	}
	if err := checkDates(loaded, time.Now()); err != nil {
		return nil, err
	}
	return newReloadingCreds(s, loaded.config, log), nil
}

func (s Security) complete() error {
	switch ca, cert, key := s.ca(), s.cert(), s.key(); {
	case cert.given() && !key.given():
		return fmt.Errorf("%w: %v has no key; set KeyPath or SSLKEYBytes", ErrSecurity, cert)
	case key.given() && !cert.given():
		return fmt.Errorf("%w: %v has no certificate; set CertPath or SSLCertBytes", ErrSecurity, key)
	case !ca.given():
		return fmt.Errorf("%w: %v needs a CA to check the members with; set CAPath or SSLCABytes", ErrSecurity, cert)
	}
	return nil
}

// loaded is a TLS configuration as the files are now, with what is worth checking about it.
type loaded struct {
	config *tls.Config
	ca     pemSource
	cas    []*x509.Certificate
	cert   pemSource
	leaf   *x509.Certificate // nil without a client certificate
}

// load reads all files. It is called for each handshake.
func (s Security) load() (loaded, error) {
	l := loaded{ca: s.ca(), cert: s.cert(), config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}}
	data, err := l.ca.read()
	if err != nil {
		return loaded{}, err
	}
	if l.cas = parseCertificates(data); len(l.cas) == 0 {
		return loaded{}, fmt.Errorf("%w: %v holds no certificate in PEM form", ErrSecurity, l.ca)
	}
	for _, ca := range l.cas {
		l.config.RootCAs.AddCert(ca)
	}
	if !l.cert.given() {
		return l, nil
	}
	pair, err := loadPair(l.cert, s.key())
	if err != nil {
		return loaded{}, err
	}
	l.config.Certificates, l.leaf = []tls.Certificate{pair}, pair.Leaf
	return l, nil
}

func loadPair(cert, key pemSource) (tls.Certificate, error) {
	certPEM, err := cert.read()
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := key.read()
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%w: %v and %v are not a certificate and its key: %w", ErrSecurity, cert, key, err)
	}
	if pair.Leaf == nil { // GODEBUG=x509keypairleaf=0
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("%w: %v: %w", ErrSecurity, cert, err)
		}
	}
	return pair, nil
}

// parseCertificates returns the certificates of a bundle, leaving out what it cannot read: bundles of operating systems
// hold such things.
func parseCertificates(data []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certs
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
}

// checkDates is for the construction only: a certificate that expires later may be the best there is while its successor
// is on its way, and it is the server's to refuse it.
func checkDates(l loaded, now time.Time) error {
	var err error
	for _, ca := range l.cas {
		if err = checkDate(l.ca, ca, now); err == nil {
			break // One valid CA of a bundle is enough.
		}
	}
	if err == nil && l.leaf != nil {
		err = checkDate(l.cert, l.leaf, now)
	}
	return err
}

func checkDate(from pemSource, cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("%w: %v expired on %s; renew it", ErrSecurity, from, cert.NotAfter.Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("%w: %v is valid only from %s; check this machine's clock", ErrSecurity, from, cert.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// pemSource is one of Security's items: a file, or bytes that stand for it.
type pemSource struct {
	pathField  string
	path       string
	bytesField string
	bytes      []byte
}

func (p pemSource) given() bool { return p.path != "" || len(p.bytes) > 0 }

// String names the item as its user knows it.
func (p pemSource) String() string {
	if len(p.bytes) > 0 {
		return p.bytesField
	}
	return fmt.Sprintf("%s %q", p.pathField, p.path)
}

func (p pemSource) read() ([]byte, error) {
	if len(p.bytes) > 0 {
		return p.bytes, nil
	}
	data, err := os.ReadFile(p.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %v cannot be read: %w", ErrSecurity, p, err)
	}
	return data, nil
}
