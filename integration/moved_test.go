package integration_test

import (
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/pdpath"
	"github.com/tsoring/tso/tsotest"
)

// All members move to an address where packets have been dropped until then, and are dropped
// where they have been. The client has been given both.
func TestMembersThatMoveWherePacketsWereDropped(t *testing.T) {
	server := tsotest.New(t)
	member, err := url.Parse(server.URL(0))
	require.NoError(t, err)
	var urls []string
	var paths []*pdpath.Path
	for range 2 {
		p, err := pdpath.New(member.Host)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		paths, urls = append(paths, p), append(urls, "http://"+p.Address())
	}
	var at atomic.Int32
	server.ScriptMembers(func(_ int, resp *pdpb.GetMembersResponse) error {
		resp.Leader.ClientUrls = []string{urls[at.Load()]}
		for _, m := range append(slices.Clone(resp.Members), resp.EtcdLeader) {
			m.ClientUrls = resp.Leader.ClientUrls
		}
		return nil
	})
	for _, away := range []time.Duration{1100, 1300, 1500} {
		paths[1-at.Load()].Drop()
		client, err := tso.NewClient(urls, tso.SecurityOption{})
		require.NoError(t, err)
		took := movedIn(t, client, away*time.Millisecond, paths, &at)
		client.Close()
		require.Less(t, took, 3*350*time.Millisecond)
	}
}

// movedIn returns how long after the members' return at their other address a call returns.
func movedIn(t *testing.T, client tso.Client, away time.Duration, paths []*pdpath.Path, at *atomic.Int32) time.Duration {
	t.Helper()
	_, _, err := client.GetTS(t.Context())
	require.NoError(t, err)
	from, to := paths[at.Load()], paths[1-at.Load()]
	from.Drop()
	at.Store(1 - at.Load())
	served := client.GetTSAsync(t.Context())
	time.Sleep(away)
	back := time.Now()
	to.Heal()
	_, _, err = served.Wait()
	require.NoError(t, err)
	took := time.Since(back)
	t.Logf("served %v after the members had been away for %v", took, away)
	return took
}
