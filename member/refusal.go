package member

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// refusal says, in words for whoever has configured the client, why no connection to a member can begin. It Is ErrSecurity,
// and whatever TLS said.
type refusal struct {
	words string
	cause error
}

func (r *refusal) Error() string   { return r.words }
func (r *refusal) Unwrap() []error { return []error{ErrSecurity, r.cause} }

// The refusals that need no more than words.
var (
	errServerSpeaksTLS   = errors.New("the server speaks TLS, but no certificates are configured: set SecurityOption.CAPath (or SSLCABytes)")
	errServerSpeaksPlain = errors.New("the server does not speak TLS: turn TLS on in PD, or leave SecurityOption empty")
)

// errPlainForbidden says that addr asks for TLS where there is none.
func errPlainForbidden(addr string) error {
	return fmt.Errorf("the address %q asks for TLS, but no certificates are configured: "+
		"set SecurityOption.CAPath (or SSLCABytes), or write http:// if PD serves without TLS", addr)
}

// asRefusal makes one of those a refusal.
func asRefusal(why error) *refusal { return &refusal{words: why.Error(), cause: why} }

// handshake is what else is known of a TLS handshake that has failed.
type handshake struct {
	security    Security
	asked, sent bool // The server has asked for a client certificate, and was sent one.
}

// refusal returns what the error of a handshake, or of the first bytes after it, means, or nil if it may be anything: then it
// is trouble that may pass.
func (h handshake) refusal(err error) *refusal {
	var (
		noTLS   tls.RecordHeaderError
		foreign x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &noTLS) && !isTLS(noTLS.RecordHeader[:]):
		return &refusal{errServerSpeaksPlain.Error(), err}
	case errors.As(err, &foreign):
		return &refusal{fmt.Sprintf("the server's certificate is not signed by a CA of %v: give the CA of this cluster (%v)", h.security.ca(), foreign), err}
	case errors.As(err, &name):
		return &refusal{fmt.Sprintf("the server's certificate is not for this address: connect to one that is in it, or have another issued (%v)", name), err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &refusal{fmt.Sprintf("the server's certificate is out of date: renew it, or check this machine's clock (%v)", invalid), err}
	case errors.As(err, &invalid):
		return &refusal{fmt.Sprintf("the server's certificate is of no use: have another issued (%v)", invalid), err}
	}
	return h.alertRefusal(err)
}

// The alerts of TLS with which a server refuses a client, or its certificate.
const (
	alertHandshakeFailure    tls.AlertError = 40
	alertBadCertificate      tls.AlertError = 42
	alertUnsupported         tls.AlertError = 43
	alertRevoked             tls.AlertError = 44
	alertExpired             tls.AlertError = 45
	alertUnknownCertificate  tls.AlertError = 46
	alertUnknownCA           tls.AlertError = 48
	alertAccessDenied        tls.AlertError = 49
	alertDecryptError        tls.AlertError = 51
	alertProtocolVersion     tls.AlertError = 70
	alertCertificateRequired tls.AlertError = 116
)

// alertRefusal returns what a server's alert means, or nil.
func (h handshake) alertRefusal(err error) *refusal {
	switch remoteAlert(err) {
	case alertProtocolVersion:
		return &refusal{fmt.Sprintf("the server does not speak TLS 1.2 or later: configure it to (%v)", err), err}
	case alertHandshakeFailure, alertBadCertificate, alertUnsupported, alertRevoked, alertExpired, alertUnknownCertificate,
		alertUnknownCA, alertAccessDenied, alertDecryptError, alertCertificateRequired:
	default:
		return nil
	}
	cert := h.security.cert()
	switch {
	case !h.asked:
		return nil
	case !cert.given():
		return &refusal{fmt.Sprintf("the server demands a client certificate: set SecurityOption.CertPath and KeyPath (%v)", err), err}
	case !h.sent:
		return &refusal{fmt.Sprintf("the server demands a client certificate of CAs that have not signed %v: give one of theirs (%v)", cert, err), err}
	default:
		return &refusal{fmt.Sprintf("the server does not accept the client certificate of %v: give one that is valid and of a CA that it trusts (%v)", cert, err), err}
	}
}

// remoteAlert returns the alert that the server has sent, or 0. crypto/tls has a type of its own for it, which it does not
// export; the texts are the same.
func remoteAlert(err error) tls.AlertError {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" || remote.Err == nil {
		return 0
	}
	text := remote.Err.Error()
	for alert := alertHandshakeFailure; alert <= alertCertificateRequired; alert++ {
		if alert.Error() == text {
			return alert
		}
	}
	return 0
}

// isTLS reports whether a server's first bytes are TLS: a record of its handshake, or an alert. As the beginning of an HTTP/2
// frame they would be one of more than a megabyte.
func isTLS(head []byte) bool {
	const alert, handshake, major = 21, 22, 3
	return len(head) >= 2 && (head[0] == alert || head[0] == handshake) && head[1] == major
}

// hungUp reports whether the server has ended the connection without a word, which it does when it is spoken to in the wrong
// way, but also when it stops.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
