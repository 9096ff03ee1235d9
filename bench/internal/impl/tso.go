package impl

import (
	"context"
	"net"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/tsoring/tso"
)

// tsoClient is the client of this repository.
type tsoClient struct {
	tso.Client
	dc string
}

func openTSO(ctx context.Context, cfg Config) (Client, error) {
	c, err := tso.NewClientWithContext(ctx, cfg.Addrs, tso.SecurityOption{
		CAPath: cfg.CAPath, CertPath: cfg.CertPath, KeyPath: cfg.KeyPath,
	}, options(cfg)...)
	if err != nil {
		return nil, err
	}
	return &tsoClient{Client: c, dc: cfg.DC}, nil
}

func options(cfg Config) []tso.ClientOption {
	opts := []tso.ClientOption{tso.WithLogger(zap.NewNop())}
	if cfg.PlainDial {
		opts = append(opts, tso.WithGRPCDialOptions(grpc.WithContextDialer(plainDial)))
	}
	return opts
}

// plainDial connects as grpc-go does by itself.
func plainDial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// At implements Local.
func (c *tsoClient) At(dc string) Client { return &view{tsoClient{Client: c.Client, dc: dc}} }

// view is a client that somebody else closes.
type view struct{ tsoClient }

func (*view) Close() {}

// GetTS keeps the call without a dc-location as a user would write it.
func (c *tsoClient) GetTS(ctx context.Context) (physical, logical int64, err error) {
	if c.dc == "" {
		return c.Client.GetTS(ctx)
	}
	return c.GetLocalTS(ctx, c.dc)
}

func (c *tsoClient) GetTSAsync(ctx context.Context) Future {
	if c.dc == "" {
		return c.Client.GetTSAsync(ctx)
	}
	return c.GetLocalTSAsync(ctx, c.dc)
}

func (c *tsoClient) Leader() string { return c.GetLeaderAddr() }

func (c *tsoClient) Stats() Stats {
	s := c.Client.Stats()
	return Stats{RPCs: s.RPCs, Timestamps: s.Timestamps}
}
