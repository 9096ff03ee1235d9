package impl

import (
	"context"

	"go.uber.org/zap"

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
	}, tso.WithLogger(zap.NewNop()))
	if err != nil {
		return nil, err
	}
	return &tsoClient{Client: c, dc: cfg.DC}, nil
}

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
