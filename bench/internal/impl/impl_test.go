package impl

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// patience bounds what normally takes milliseconds, and 5 s with PD's client: see
// upstream.
const patience = 30 * time.Second

func open(t *testing.T, name string, cfg Config) Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := Open(ctx, name, cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, c Client) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	physical, logical, err := c.GetTS(ctx)
	require.NoError(t, err)
	return tso.ComposeTS(physical, logical)
}

func TestOpen_EachObtainsTimestamps(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tsotest.New(t)
			withoutScheme := strings.TrimPrefix(server.URL(0), "http://")
			c := open(t, name, Config{Addrs: []string{withoutScheme}})
			before := c.Stats()
			first := get(t, c)
			require.Less(t, first, get(t, c))
			require.Equal(t, Stats{RPCs: 2, Timestamps: 2}, c.Stats().Sub(before))
			// More where a busy machine made it late: then another stream has been tried beside that.
			require.GreaterOrEqual(t, server.Stats().Requests, uint64(c.Stats().RPCs))
			require.Equal(t, server.URL(0), c.Leader())
			if async, ok := c.(Async); ok {
				physical, _, err := async.GetTSAsync(t.Context()).Wait()
				require.NoError(t, err)
				require.Positive(t, physical)
			}
			c.Close()
			c.Close()
		})
	}
}

func TestOpen_LocalTimestamps(t *testing.T) {
	t.Parallel()
	for _, name := range []string{TSO, Bare} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tsotest.New(t, tsotest.WithMembers(2), tsotest.WithDCs("dc-1", "dc-2"))
			get(t, open(t, name, Config{Addrs: server.URLs(), DC: "dc-2"}))
			require.NotZero(t, server.Stats().Largest["dc-2"])
		})
	}
}

func TestAt_ServesEachDCLocation(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t, tsotest.WithDCs("dc-1", "dc-2"))
	c := open(t, TSO, Config{Addrs: server.URLs()})
	for _, dc := range []string{"dc-1", "dc-2"} {
		at := c.(Local).At(dc)
		get(t, at)
		at.Close()
		require.NotZero(t, server.Stats().Largest[dc])
	}
	get(t, c)
}

// A client with one RPC under way at most sends the next when the answer to the one
// before is there; the server sees more than one only if more are allowed.
func TestOpen_UpstreamAdoptsItsConcurrency(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{0, 4} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			t.Parallel()
			server := tsotest.New(t)
			c := open(t, Upstream, Config{Addrs: server.URLs(), Concurrency: concurrency})
			get(t, c)
			require.NoError(t, server.Hold())
			held := c.Stats().RPCs
			var futures []Future
			more := func() bool {
				futures = append(futures, c.(Async).GetTSAsync(t.Context()))
				return c.Stats().RPCs-held > 1
			}
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			most := 100
			if concurrency > 1 {
				most = int(patience / time.Millisecond)
			}
			seen := false
			for range most {
				if seen = more(); seen {
					break
				}
				<-tick.C
			}
			require.Equal(t, concurrency > 1, seen)
			require.NoError(t, server.Release())
			for _, f := range futures {
				_, _, err := f.Wait()
				require.NoError(t, err)
			}
		})
	}
}

func TestOpen_PlainDial(t *testing.T) {
	t.Parallel()
	server := tsotest.New(t)
	get(t, open(t, TSO, Config{Addrs: server.URLs(), PlainDial: true}))
}

func TestOpen_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tsotest.New(t)
			require.NoError(t, server.Hold())
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := Open(ctx, name, Config{Addrs: server.URLs()})
			require.Error(t, err)
		})
	}
}

func TestClients_WithFutures(t *testing.T) {
	var (
		_ Async  = (*tsoClient)(nil)
		_ Async  = (*upstream)(nil)
		_ Client = (*bare)(nil)
	)
	_, bareToo := any((*bare)(nil)).(Async)
	require.False(t, bareToo)
}

func TestCheck_SaysWhatCannotBe(t *testing.T) {
	require.NoError(t, Check(TSO, Config{DC: "dc-1"}, true))
	require.ErrorContains(t, Check("nobody", Config{}, false), "tso, upstream, adapter, bare")
	require.ErrorContains(t, Check(Upstream, Config{DC: "dc-1"}, false), "local")
	require.ErrorContains(t, Check(Bare, Config{}, true), "futures")
}
