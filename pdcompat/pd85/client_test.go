package pd

import (
	"context"
	"testing"
	"time"

	"github.com/pingcap/errors"
	"github.com/stretchr/testify/require"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"

	ours "github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat"
	"github.com/tsoring/tso/pdcompat/internal/exported"
	"github.com/tsoring/tso/tsotest"
)

// options are those of all tests.
func options(more ...opt.ClientOption) []opt.ClientOption {
	return append([]opt.ClientOption{opt.WithMaxErrorRetry(3)}, more...)
}

func newClient(t *testing.T, server *tsotest.Server, more ...opt.ClientOption) Client {
	t.Helper()
	c, err := NewClient(server.URLs(), SecurityOption{}, options(more...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// stats returns what the client counts.
func stats(t *testing.T, c Client) pdcompat.Stats {
	t.Helper()
	counted, ok := c.(pdcompat.StatsClient)
	require.True(t, ok)
	return counted.Stats()
}

// Each way to a timestamp is counted by this library's client.
func TestAllTimestampsAreOurs(t *testing.T) {
	t.Parallel()
	c := newClient(t, tsotest.New(t))
	ctx := context.Background()
	var last uint64
	rise := func(physical, logical int64, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Greater(t, ours.ComposeTS(physical, logical), last)
		last = ours.ComposeTS(physical, logical)
	}
	rise(c.GetTS(ctx))
	rise(c.GetTSAsync(ctx).Wait())
	rise(c.GetLocalTS(ctx, "dc-1"))             //nolint:staticcheck // deprecated, not gone
	rise(c.GetLocalTSAsync(ctx, "dc-1").Wait()) //nolint:staticcheck // deprecated, not gone
	rise(c.GetMinTS(ctx))
	require.EqualValues(t, 5, stats(t, c).Timestamps)
	require.Zero(t, stats(t, c).UpstreamCalls)
}

func TestBatchesAreReachedByTheirInterface(t *testing.T) {
	t.Parallel()
	c, ok := newClient(t, tsotest.New(t)).(pdcompat.BatchClient)
	require.True(t, ok)
	b, err := c.GetTSBatch(context.Background(), 20_001)
	require.NoError(t, err)
	require.Equal(t, 20_001, b.Len())
	_, err = c.GetTSBatch(context.Background(), 0)
	require.ErrorIs(t, err, ours.ErrInvalidArgument)
}

func TestAllNamesOfUpstreamAreHere(t *testing.T) {
	t.Parallel()
	require.Subset(t, exported.In(t, "."), exported.Of(t, pd.NewClient))
}

// A second stream would be upstream's.
func TestUpstreamOpensNoTimestampStream(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	c := newClient(t, server)
	for range 20 {
		_, _, err := c.GetTS(context.Background())
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, server.Stats().Streams)
}

func TestWrapTakesTimestampsOver(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	existing, err := pd.NewClient(server.URLs(), SecurityOption{}, options()...)
	require.NoError(t, err)
	_, _, err = existing.GetTS(context.Background())
	require.NoError(t, err)
	c, err := Wrap(existing, server.URLs(), SecurityOption{}, options()...)
	require.NoError(t, err)
	_, _, err = c.GetTS(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, stats(t, c).Timestamps)
	require.EqualValues(t, 2, server.Stats().Streams, "the one of existing stays")
	c.Close()
	_, _, err = existing.GetTS(context.Background())
	require.ErrorIs(t, err, context.Canceled)
}

func TestKeyspacesAreLeftToUpstream(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	for id, left := range map[uint32]bool{0: false, 5: true} {
		c, err := NewClientWithKeyspace(context.Background(), id, server.URLs(), SecurityOption{}, options()...)
		require.NoError(t, err)
		_, _, err = c.GetTS(context.Background())
		require.NoError(t, err)
		require.Equal(t, left, stats(t, c).Upstream)
		c.Close()
	}
	c, err := NewClientWithAPIContext(context.Background(), NewAPIContextV1(), server.URLs(), SecurityOption{}, options()...)
	require.NoError(t, err)
	require.False(t, stats(t, c).Upstream)
	c.Close()
}

func TestErrorAfterCloseIsWhatProgramsOfEitherClientLookFor(t *testing.T) {
	t.Parallel()
	c := newClient(t, tsotest.New(t))
	c.Close()
	c.Close()
	_, _, err := c.GetTS(context.Background())
	require.ErrorIs(t, err, ours.ErrClosed)
	require.Equal(t, context.Canceled, errors.Cause(err))
	_, _, err = c.GetTSAsync(context.Background()).Wait()
	require.Equal(t, context.Canceled, errors.Cause(err))
	require.Equal(t, context.Canceled, errors.Cause(errors.Trace(err)))
}

func TestOptionsReachBothByName(t *testing.T) {
	t.Parallel()
	c := newClient(t, tsotest.New(t))
	require.NoError(t, c.UpdateOption(opt.MaxTSOBatchWaitInterval, time.Millisecond))
	require.NoError(t, c.UpdateOption(opt.TSOClientRPCConcurrency, 1))
	require.NoError(t, c.UpdateOption(opt.TSOClientRPCConcurrency, 4))
	require.NoError(t, c.UpdateOption(opt.EnableFollowerHandle, true))
	require.NoError(t, c.UpdateOption(opt.EnableTSOFollowerProxy, true))
	for option, value := range map[opt.DynamicOption]any{
		opt.MaxTSOBatchWaitInterval: time.Second,
		opt.EnableTSOFollowerProxy:  1,
		opt.TSOClientRPCConcurrency: "2",
		opt.DynamicOption(99):       1,
	} {
		require.Error(t, c.UpdateOption(option, value))
	}
}

func TestOptionsAreNotWrittenIntoTheCallersSlice(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	opts := append(make([]opt.ClientOption, 0, 10), options()...)
	c, err := NewClient(server.URLs(), SecurityOption{}, opts...)
	require.NoError(t, err)
	defer c.Close()
	for _, o := range opts[len(opts):cap(opts)] {
		require.Nil(t, o)
	}
}

func TestErrorsOfTheConstructorAreUpstreams(t *testing.T) {
	t.Parallel()
	_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, options(opt.WithMaxErrorRetry(1))...)
	require.Error(t, err)
	_, err = NewClientWithKeyspace(context.Background(), 1<<24, []string{"127.0.0.1:1"}, SecurityOption{})
	require.ErrorContains(t, err, "invalid keyspace id")
}
