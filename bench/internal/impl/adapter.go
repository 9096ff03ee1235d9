package impl

import (
	"context"
	"fmt"
	"sync"

	"github.com/tikv/pd/client/pkg/caller"

	"github.com/tsoring/tso/pdcompat"
	"github.com/tsoring/tso/pdcompat/pd2025"
)

// adapter is PD's own client with timestamps of this repository's.
type adapter struct {
	client pd.Client
	once   sync.Once
}

func openAdapter(ctx context.Context, cfg Config) (Client, error) {
	quiet()
	c, err := pd.NewClientWithContext(ctx, caller.Component("tso-bench"), cfg.Addrs, pd.SecurityOption{
		CAPath: cfg.CAPath, CertPath: cfg.CertPath, KeyPath: cfg.KeyPath,
	})
	if err != nil {
		return nil, err
	}
	a := &adapter{client: c}
	if stats := a.counts(); stats.Upstream {
		a.Close()
		return nil, fmt.Errorf("timestamps come from PD's own client: %s", stats.Why)
	}
	return a, nil
}

func (a *adapter) GetTS(ctx context.Context) (physical, logical int64, err error) {
	return a.client.GetTS(ctx)
}

func (a *adapter) GetTSAsync(ctx context.Context) Future { return a.client.GetTSAsync(ctx) }

func (a *adapter) Leader() string { return a.client.GetLeaderURL() }

// counts returns what the adapter counts; each of its clients does.
func (a *adapter) counts() pdcompat.Stats {
	counted, _ := a.client.(pdcompat.StatsClient)
	return counted.Stats()
}

func (a *adapter) Stats() Stats {
	s := a.counts()
	return Stats{RPCs: s.RPCs, Timestamps: s.Timestamps}
}

func (a *adapter) Close() { a.once.Do(a.client.Close) }
