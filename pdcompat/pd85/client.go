package pd

import (
	"context"

	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/clients/tso"
	"github.com/tikv/pd/client/opt"

	ours "github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat"
	"github.com/tsoring/tso/pdcompat/internal/handover"
)

// client is a client of PD's whose timestamps come from this library's client; everything
// else is done by the one that it embeds.
type client struct {
	pd.Client
	timestamps *handover.Handover
}

var (
	_ pd.Client            = (*client)(nil)
	_ pdcompat.StatsClient = (*client)(nil)
	_ pdcompat.BatchClient = (*client)(nil)
)

// GetTS returns a timestamp.
func (c *client) GetTS(ctx context.Context) (physical, logical int64, err error) {
	return c.timestamps.GetTS(ctx)
}

// GetTSAsync begins to fetch a timestamp.
func (c *client) GetTSAsync(ctx context.Context) tso.TSFuture { return c.timestamps.GetTSAsync(ctx) }

// GetLocalTS is GetTS, as it is in PD's client since Local TSO was given up.
func (c *client) GetLocalTS(ctx context.Context, _ string) (physical, logical int64, err error) {
	return c.timestamps.GetTS(ctx)
}

// GetLocalTSAsync is GetTSAsync, as it is in PD's client since Local TSO was given up.
func (c *client) GetLocalTSAsync(ctx context.Context, _ string) tso.TSFuture {
	return c.timestamps.GetTSAsync(ctx)
}

// GetMinTS returns the least of the timestamps of all keyspace groups. While PD itself grants
// timestamps there is one group, and this is GetTS.
func (c *client) GetMinTS(ctx context.Context) (physical, logical int64, err error) {
	if client := c.timestamps.Ours(); client != nil {
		return client.GetTS(ctx)
	}
	return c.Client.GetMinTS(ctx)
}

// GetTSBatch implements pdcompat.BatchClient.
func (c *client) GetTSBatch(ctx context.Context, n int) (ours.Batch, error) {
	return c.timestamps.GetTSBatch(ctx, n)
}

// UpdateOption changes an option of PD's client, and the same of this library's where it has
// one. A TSOClientRPCConcurrency of 1, which is PD's and TiDB's default, leaves to this
// library's client how many RPCs it has under way.
func (c *client) UpdateOption(option opt.DynamicOption, value any) error {
	if err := c.Client.UpdateOption(option, value); err != nil {
		return err
	}
	switch option {
	case opt.MaxTSOBatchWaitInterval:
		return c.timestamps.SetOption(ours.MaxTSOBatchWaitInterval, value)
	case opt.EnableTSOFollowerProxy:
		return c.timestamps.SetOption(ours.EnableTSOFollowerProxy, value)
	case opt.TSOClientRPCConcurrency:
		return c.timestamps.SetConcurrency(value)
	default:
		return nil
	}
}

// Stats implements pdcompat.StatsClient.
func (c *client) Stats() pdcompat.Stats { return c.timestamps.Stats() }

// Close ends both clients. Calls for timestamps then return an error that Is ErrClosed of
// this library and whose Cause, as github.com/pingcap/errors has it, is context.Canceled.
func (c *client) Close() { c.timestamps.CloseBoth(c.Client.Close) }
