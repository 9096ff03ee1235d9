package member

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
)

// reloadingCreds are TLS credentials that read their files anew for each handshake.
//
// The files are read every time, rather than when their modification time changes: handshakes happen once per
// connection, reading a few kilobytes costs far less than the handshake's own arithmetic, and modification times do not
// tell a file that was replaced twice within their resolution or through a symbolic link, as Kubernetes does.
//
// Each handshake gets a complete configuration of its own and the standard library verifies as it always does, chain
// and server name. The hooks of tls.Config would leave the CA out (it has none for RootCAs), unless verification is
// switched off and written anew, which is no place for own work.
type reloadingCreds struct {
	files *reloadingFiles // Shared by clones.
	// serverName replaces the name in the target's address, "" for none. Owned by this clone; set before it is used.
	serverName string
	// contact watches over the handshakes, nil if nobody does.
	contact *contact
}

// reloadingFiles may be used from any goroutine: gRPC shakes hands for several connections at once.
type reloadingFiles struct {
	security Security
	log      *zap.Logger
	// last is what was loaded last without error, never nil. Concurrent handshakes overwrite each other's, which
	// does no harm: both have just read the files.
	last atomic.Pointer[tls.Config]
}

func newReloadingCreds(s Security, first *tls.Config, log *zap.Logger) *reloadingCreds {
	files := &reloadingFiles{security: s, log: log}
	files.last.Store(first)
	return &reloadingCreds{files: files}
}

// current returns the configuration for one handshake. While the files are being replaced, a certificate may be there
// without its key: then the last ones that went together are used once more.
func (f *reloadingFiles) current() *tls.Config {
	l, err := f.security.load()
	if err != nil {
		f.log.Warn("certificates cannot be read again; using those read last", zap.Error(err))
		return f.last.Load()
	}
	f.last.Store(l.config)
	return l.config
}

// watchedBy returns credentials whose handshakes a contact watches over.
func (c *reloadingCreds) watchedBy(to *contact) *reloadingCreds {
	watched := *c
	watched.contact = to
	return &watched
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *reloadingCreds) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.contact == nil {
		return c.tls().ClientHandshake(ctx, authority, conn)
	}
	begins := &attempt{contact: c.contact, ctx: ctx, secure: true}
	config := c.files.current().Clone()
	config.GetClientCertificate = begins.choose(config.Certificates)
	opened, info, err := credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
	if err != nil {
		return nil, nil, begins.failed(err)
	}
	return newWatchedConn(opened, begins), info, nil
}

// ServerHandshake implements credentials.TransportCredentials. A client never calls it.
func (c *reloadingCreds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.tls().ServerHandshake(conn)
}

func (c *reloadingCreds) tls() credentials.TransportCredentials {
	return credentials.NewTLS(c.files.current())
}

// Info implements credentials.TransportCredentials.
func (c *reloadingCreds) Info() credentials.ProtocolInfo {
	info := credentials.NewTLS(c.files.last.Load()).Info()
	info.ServerName = c.serverName //nolint:staticcheck // what the interface promises for OverrideServerName
	return info
}

// Clone implements credentials.TransportCredentials.
func (c *reloadingCreds) Clone() credentials.TransportCredentials {
	clone := *c
	return &clone
}

// OverrideServerName implements credentials.TransportCredentials.
func (c *reloadingCreds) OverrideServerName(name string) error {
	c.serverName = name
	return nil
}
