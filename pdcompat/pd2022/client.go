package pd

import (
	"context"

	"github.com/pingcap/errors"
	pd "github.com/tikv/pd/client"

	ours "github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat"
	"github.com/tsoring/tso/pdcompat/internal/handover"
)

// global is the dc-location whose timestamps are those of GetTS.
const global = "global"

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
func (c *client) GetTSAsync(ctx context.Context) pd.TSFuture { return c.timestamps.GetTSAsync(ctx) }

// GetLocalTS returns a timestamp of a dc-location.
func (c *client) GetLocalTS(ctx context.Context, dcLocation string) (physical, logical int64, err error) {
	if dcLocation == global {
		return c.timestamps.GetTS(ctx)
	}
	if client := c.timestamps.Ours(); client != nil {
		return client.GetLocalTS(ctx, dcLocation)
	}
	return c.localOfUpstream(ctx, dcLocation).Wait()
}

// GetLocalTSAsync begins to fetch a timestamp of a dc-location.
func (c *client) GetLocalTSAsync(ctx context.Context, dcLocation string) pd.TSFuture {
	if dcLocation == global {
		return c.timestamps.GetTSAsync(ctx)
	}
	if client := c.timestamps.Ours(); client != nil {
		return client.GetLocalTSAsync(ctx, dcLocation)
	}
	return c.localOfUpstream(ctx, dcLocation)
}

// local is a timestamp of a dc-location on its way from PD's own client.
type local struct {
	pd.TSFuture
	again func() (physical, logical int64, err error)
}

func (c *client) localOfUpstream(ctx context.Context, dcLocation string) local {
	return local{c.Client.GetLocalTSAsync(ctx, dcLocation), func() (physical, logical int64, err error) {
		return c.Client.GetLocalTS(ctx, dcLocation)
	}}
}

// Wait returns the timestamp. The first call for each dc-location finds the stream to nobody
// that PD's own client has had until it was to serve, and is made again.
func (l local) Wait() (physical, logical int64, err error) {
	physical, logical, err = l.TSFuture.Wait()
	if errors.Cause(err) == handover.ErrIdle { //nolint:errorlint // the cause is that very error
		return l.again()
	}
	return physical, logical, err
}

// GetMinTS returns the least of the timestamps of all keyspace groups. PD's own client has it
// since the summer of 2023, and where PD itself grants timestamps, by a stream that this one
// keeps it from.
func (c *client) GetMinTS(ctx context.Context) (physical, logical int64, err error) {
	if upstream, ok := c.Client.(minimum); ok && c.timestamps.Ours() == nil {
		return upstream.GetMinTS(ctx)
	}
	return c.timestamps.GetTS(ctx)
}

// minimum is what a client of PD's also is that has GetMinTS.
type minimum interface {
	GetMinTS(ctx context.Context) (physical, logical int64, err error)
}

// GetTSBatch implements pdcompat.BatchClient.
func (c *client) GetTSBatch(ctx context.Context, n int) (ours.Batch, error) {
	return c.timestamps.GetTSBatch(ctx, n)
}

// UpdateOption changes an option of PD's client, and the same of this library's where it has
// one.
func (c *client) UpdateOption(option pd.DynamicOption, value any) error {
	if err := c.Client.UpdateOption(option, value); err != nil {
		return err
	}
	switch option {
	case pd.MaxTSOBatchWaitInterval:
		return c.timestamps.SetOption(ours.MaxTSOBatchWaitInterval, value)
	case pd.EnableTSOFollowerProxy:
		return c.timestamps.SetOption(ours.EnableTSOFollowerProxy, value)
	default:
		return nil
	}
}

// Stats implements pdcompat.StatsClient.
func (c *client) Stats() pdcompat.Stats { return c.timestamps.Stats() }

// Close ends both clients. Calls for timestamps then return an error that Is ErrClosed of
// this library and whose Cause, as github.com/pingcap/errors has it, is context.Canceled.
func (c *client) Close() { c.timestamps.CloseBoth(c.Client.Close) }
