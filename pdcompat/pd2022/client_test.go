package pd

import (
	"context"
	"testing"
	"time"

	"github.com/pingcap/errors"
	"github.com/stretchr/testify/require"
	pd "github.com/tikv/pd/client"
	"google.golang.org/grpc"

	ours "github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat"
	"github.com/tsoring/tso/pdcompat/internal/exported"
	"github.com/tsoring/tso/tsotest"
)

func newClient(t *testing.T, server *tsotest.Server, opts ...ClientOption) Client {
	t.Helper()
	c, err := NewClient(server.URLs(), SecurityOption{}, append([]ClientOption{WithMaxErrorRetry(3)}, opts...)...)
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
	c := newClient(t, tsotest.New(t, tsotest.WithMembers(3), tsotest.WithDCs("dc-1", "dc-2")))
	ctx := context.Background()
	var last uint64
	var made int64
	rise := func(physical, logical int64, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Greater(t, ours.ComposeTS(physical, logical), last)
		last = ours.ComposeTS(physical, logical)
		made++
		require.Equal(t, made, stats(t, c).Timestamps)
	}
	rise(c.GetTS(ctx))
	rise(c.GetTSAsync(ctx).Wait())
	rise(c.GetLocalTS(ctx, "global"))
	rise(c.GetLocalTSAsync(ctx, "global").Wait())
	last = 0
	rise(c.GetLocalTS(ctx, "dc-1"))
	rise(c.GetLocalTSAsync(ctx, "dc-1").Wait())
	last = 0
	rise(c.GetLocalTSAsync(ctx, "dc-2").Wait())
	require.Zero(t, stats(t, c).UpstreamCalls)
}

// More streams than one for each scope would be upstream's.
func TestUpstreamOpensNoTimestampStream(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t, tsotest.WithDCs("dc-1"))
	c := newClient(t, server)
	for range 20 {
		_, _, err := c.GetTS(context.Background())
		require.NoError(t, err)
		_, _, err = c.GetLocalTS(context.Background(), "dc-1")
		require.NoError(t, err)
	}
	require.EqualValues(t, 2, server.Stats().Streams)
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

// leftOut are the names of upstream's that this package cannot have: a variable, and what the
// later of the two versions has beside the names of the other.
var leftOut = []string{
	"LeaderHealthCheckInterval",
	"MetaStorageClient", "NewClientWithKeyspace", "Op", "OpOption", "ResourceManagerClient", "ServiceDiscovery", "TSOClient",
	"WithLease", "WithLimit", "WithPrefix", "WithPrevKV", "WithRangeEnd", "WithRev",
}

func TestAllNamesOfUpstreamAreHere(t *testing.T) {
	t.Parallel()
	require.Subset(t, append(exported.In(t, "."), leftOut...), exported.Of(t, pd.NewClient))
}

func TestWrapTakesTimestampsOver(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	existing, err := pd.NewClient(server.URLs(), SecurityOption{})
	require.NoError(t, err)
	_, _, err = existing.GetTS(context.Background())
	require.NoError(t, err)
	c, err := Wrap(existing, server.URLs(), SecurityOption{})
	require.NoError(t, err)
	_, _, err = c.GetTS(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, stats(t, c).Timestamps)
	require.EqualValues(t, 2, server.Stats().Streams, "the one of existing stays")
	c.Close()
	_, _, err = existing.GetTS(context.Background())
	require.ErrorIs(t, err, context.Canceled)
}

// inMemory returns a server that is reached by a dial option alone, and that.
func inMemory(t *testing.T) (*tsotest.Server, grpc.DialOption) {
	t.Helper()
	server := tsotest.New(t, tsotest.WithBufconn(), tsotest.WithDCs("dc-1"))
	return server, grpc.WithContextDialer(server.Dialer())
}

func TestDialOptionsReachBoth(t *testing.T) {
	t.Parallel()
	server, dial := inMemory(t)
	c := newClient(t, server, WithGRPCDialOptions(dial))
	_, _, err := c.GetTS(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, stats(t, c).Timestamps)
	_, err = c.GetAllMembers(context.Background())
	require.NoError(t, err)
}

// What upstream is given that cannot be read may be what it takes to connect.
func TestTimestampsComeFromUpstreamWhereOursCannotConnect(t *testing.T) {
	t.Parallel()
	server, dial := inMemory(t)
	c := newClient(t, server, WithCustomTimeoutOption(time.Second), WithUpstreamOptions(pd.WithGRPCDialOptions(dial)))
	ctx := context.Background()
	_, _, err := c.GetTS(ctx)
	require.NoError(t, err)
	_, _, err = c.GetTSAsync(ctx).Wait()
	require.NoError(t, err)
	_, _, err = c.GetLocalTS(ctx, "dc-1")
	require.NoError(t, err)
	_, _, err = c.GetLocalTSAsync(ctx, "dc-1").Wait()
	require.NoError(t, err)
	s := stats(t, c)
	require.True(t, s.Upstream)
	require.Contains(t, s.Why, "cannot be made")
	require.Zero(t, s.Timestamps)
}

func TestErrorAfterCloseIsWhatProgramsOfEitherClientLookFor(t *testing.T) {
	t.Parallel()
	c := newClient(t, tsotest.New(t, tsotest.WithDCs("dc-1")))
	_, _, err := c.GetLocalTS(context.Background(), "dc-1")
	require.NoError(t, err)
	c.Close()
	c.Close()
	_, _, err = c.GetTS(context.Background())
	require.ErrorIs(t, err, ours.ErrClosed)
	require.Equal(t, context.Canceled, errors.Cause(err))
	_, _, err = c.GetTSAsync(context.Background()).Wait()
	require.Equal(t, context.Canceled, errors.Cause(err))
	require.Equal(t, context.Canceled, errors.Cause(errors.Trace(err)))
	_, _, err = c.GetLocalTS(context.Background(), "dc-1")
	require.Equal(t, context.Canceled, errors.Cause(err))
}

func TestOptionsReachBothByName(t *testing.T) {
	t.Parallel()
	c := newClient(t, tsotest.New(t))
	require.NoError(t, c.UpdateOption(MaxTSOBatchWaitInterval, time.Millisecond))
	require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, true))
	for option, value := range map[DynamicOption]any{
		MaxTSOBatchWaitInterval: time.Second,
		EnableTSOFollowerProxy:  1,
		DynamicOption(99):       1,
	} {
		require.Error(t, c.UpdateOption(option, value))
	}
}

func TestOptionsAreRead(t *testing.T) {
	t.Parallel()
	o := read(nil)
	require.Equal(t, options{timeout: 3 * time.Second, maxRetry: 100}, *o, "upstream's defaults")
	o = read([]ClientOption{
		WithCustomTimeoutOption(time.Second), WithMaxErrorRetry(7), WithForwardingOption(true),
		WithGRPCDialOptions(grpc.WithUserAgent("a"), grpc.WithUserAgent("b")), WithUpstreamOptions(pd.WithMaxErrorRetry(8)),
	})
	require.Equal(t, time.Second, o.timeout)
	require.Equal(t, 7, o.maxRetry, "not upstream's own")
	require.True(t, o.forwarding)
	require.Len(t, o.dialOptions, 2)
	require.Len(t, o.upstream, 5)
}

func TestErrorsOfTheConstructorAreUpstreams(t *testing.T) {
	t.Parallel()
	_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, WithMaxErrorRetry(1))
	require.ErrorContains(t, err, "[pd] failed to get cluster id")
}

// later is a client of PD's that has GetMinTS, as those of the summer of 2023 do.
type later struct{ Client }

func (later) GetMinTS(context.Context) (physical, logical int64, err error) { return 7, 7, nil }

func TestGetMinTSIsGetTSWhileOursServes(t *testing.T) {
	t.Parallel()
	for _, dial := range []bool{true, false} {
		server, option := inMemory(t)
		existing, err := pd.NewClient(server.URLs(), SecurityOption{}, pd.WithGRPCDialOptions(option))
		require.NoError(t, err)
		opts := []ClientOption{WithCustomTimeoutOption(time.Second)} // in which it cannot connect
		if dial {
			opts = []ClientOption{WithGRPCDialOptions(option), WithCustomTimeoutOption(time.Minute)}
		}
		c, err := Wrap(later{existing}, server.URLs(), SecurityOption{}, opts...)
		require.NoError(t, err)
		least, ok := c.(minimum)
		require.True(t, ok)
		physical, _, err := least.GetMinTS(context.Background())
		require.NoError(t, err)
		require.Equal(t, dial, physical != 7)
		c.Close()
	}
}
