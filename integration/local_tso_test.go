package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/pdcluster"
)

// scopes are those of localTSO.
var (
	scopes = []scope{global, {1, "dc-1"}, {2, "dc-2"}, {3, "dc-3"}}
	locals = scopes[1:]
)

// The second client takes no global timestamps: with Local TSO, PD itself grants
// the same global ones to several streams that ask at the same time. Its global
// allocator takes the largest local timestamp and adds the count, without a lock
// (pkg/tso/global_allocator.go, GenerateTSO): two bare streams without any
// client were granted 19,000 of 50,000 twice, one stream none. A client has one
// stream for the global scope.
func TestLocalTSO_HistoryOfAllScopesIsInOrder(t *testing.T) {
	t.Parallel()
	cluster := localTSO.use(t)
	l := newLoad(320_000)
	began := time.Now()
	for _, takes := range [][]scope{scopes, locals} {
		client := connect(t, cluster.ClientURLs(), plain)
		for _, s := range takes {
			l.callers(8, client, s)
			l.futures(4, 16, client, s)
		}
		defer func() { t.Logf("%+v", client.Stats()) }()
	}
	r := l.wait()
	t.Logf("%v", time.Since(began).Round(time.Millisecond))
	r.requireClean(t)
	require.GreaterOrEqual(t, len(r.calls), 300_000)
	for _, s := range scopes {
		t.Logf("%v: %d calls", s.id, r.of(s.id))
		require.GreaterOrEqual(t, r.of(s.id), 500)
	}
}

// One goroutine that goes from scope to scope is the strictest history: every
// timestamp of a dc-location lies above the global one before it, and below the
// global one after it.
func TestLocalTSO_GlobalAndLocalTakeTurnsInOrder(t *testing.T) {
	t.Parallel()
	cluster := localTSO.use(t)
	client := connect(t, cluster.ClientURLs(), plain)
	ctx := bounded(t, time.Minute)
	began := time.Now()
	var last uint64
	// On a busy machine PD syncs its allocators for tens of milliseconds a call.
	for i := 0; i < 100 || i < 1_500 && time.Since(began) < 20*time.Second; i++ {
		s := scopes[i/2%3+1]
		if i%2 == 0 {
			s = global
		}
		got, err := composed(s.get(ctx, client))
		require.NoError(t, err)
		require.Greater(t, got, last, "call %d, %v", i, s.id)
		last = got
	}
}

func TestLocalTSO_UnknownLocationIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	cluster := localTSO.use(t)
	client := connect(t, cluster.ClientURLs(), plain)
	ctx := bounded(t, 3*time.Minute)
	for range 2 {
		for _, get := range []func() (int64, int64, error){
			func() (int64, int64, error) { return client.GetLocalTS(ctx, "dc-9") },
			func() (int64, int64, error) { return client.GetLocalTSAsync(ctx, "dc-9").Wait() },
		} {
			began := time.Now()
			_, _, err := get()
			took := time.Since(began)
			require.ErrorIs(t, err, tso.ErrUnknownDCLocation)
			require.ErrorContains(t, err, "dc-9")
			t.Logf("unknown after %v", took)
			// 4 to 5 s of lists without it, in a row: on a busy machine PD elects in between.
			require.Less(t, took, 20*time.Second)
		}
		requireServedEverywhere(ctx, t, client)
	}
}

// PD moves an allocator at a tick of one minute. The load is light, and goes on
// until PD has done it; for some 200 ms PD lists no allocator for the dc-location
// meanwhile. Then the member that has the allocator now is killed: the callers
// there wait for the next one, and those of other dc-locations do not. (Global
// calls do: PD asks all allocators for each.)
func TestLocalTSO_AllocatorMovesAndDiesUnderLoad(t *testing.T) {
	t.Parallel()
	cluster := moving.use(t)
	ctx := bounded(t, 3*time.Minute)
	l := newLoad(withoutEnd)
	l.pause = 10 * time.Millisecond
	client := connect(t, cluster.ClientURLs(), plain)
	second := connect(t, cluster.ClientURLs(), plain)
	for _, s := range scopes {
		l.callers(8, client, s)
		l.futures(1, 8, client, s)
	}
	for _, s := range locals {
		l.callers(2, second, s)
	}
	told := l.recorder.Now()
	dc, to := orderMove(ctx, t, cluster)
	require.NoError(t, cluster.WaitAllocator(ctx, dc, to))
	moved := l.recorder.Now()
	requireServedEverywhere(ctx, t, client)
	served := l.recorder.Now()

	require.NoError(t, cluster.Member(to).Kill())
	killed := l.recorder.Now()
	requireServedEverywhere(ctx, t, client)
	revived := l.recorder.Now()
	require.NoError(t, cluster.Member(to).Launch())
	r := l.finish()

	t.Logf("%s moved to %s after %v, all scopes served %v later, and %v after %s was killed; %+v", dc, to,
		time.Duration(moved-told).Round(time.Millisecond), time.Duration(served-moved),
		time.Duration(revived-killed).Round(time.Millisecond), to, client.Stats())
	for _, s := range scopes {
		t.Logf("%v: longest silence %v, and %v after the kill", s.id,
			r.silence(s.id, told, served), r.silence(s.id, killed, revived))
	}
	r.requireClean(t)
}

// requireServedEverywhere fails t unless the client gets a timestamp of each
// scope.
func requireServedEverywhere(ctx context.Context, t *testing.T, client tso.Client) {
	t.Helper()
	for _, s := range scopes {
		_, _, err := s.get(ctx, client)
		require.NoError(t, err, "%v", s.id)
	}
}

// Soon after a start all allocators are at the PD leader, and die with it. For
// some seconds PD lists none, which must not be taken for dc-locations that are gone.
func TestLocalTSO_LeaderKilledUnderLoad(t *testing.T) {
	cluster := pdcluster.StartT(t, localTSO.config) // its own, because nothing is at home afterwards
	ctx := bounded(t, 2*time.Minute)
	l := newLoad(withoutEnd)
	l.pause = 10 * time.Millisecond
	client := connect(t, cluster.ClientURLs(), plain)
	for _, s := range scopes {
		l.callers(4, client, s)
		l.futures(1, 8, client, s)
	}
	requireServedEverywhere(ctx, t, client)
	leader, err := cluster.WaitLeader(ctx)
	require.NoError(t, err)
	hit := l.recorder.Now()
	require.NoError(t, leader.Kill())
	_, err = cluster.WaitOtherLeader(ctx, leader)
	require.NoError(t, err)
	floor := l.recorder.Now()
	require.NoError(t, leader.Launch())
	requireServedEverywhere(ctx, t, client)
	end := l.recorder.Now()
	r := l.finish()
	t.Logf("floor %v, all scopes served %v later, longest call %v, %+v",
		time.Duration(floor-hit).Round(time.Millisecond), time.Duration(end-floor), r.longest(hit, end), client.Stats())
	r.requireClean(t)
}

// orderMove tells PD to move an allocator that is at home to another member, and
// returns its dc-location and that member. If none is at home, it returns one
// that PD is going to move home anyway, at the same tick, and refuses to be told
// to once it has begun.
func orderMove(ctx context.Context, t *testing.T, cluster *pdcluster.Cluster) (dc, to string) {
	t.Helper()
	leaders, err := cluster.AllocatorLeaders(ctx)
	require.NoError(t, err)
	members := cluster.Members()
	for i, m := range members {
		if leaders[m.DC] == m.Name {
			to = members[(i+1)%len(members)].Name
			require.NoError(t, cluster.TransferAllocator(ctx, m.DC, to))
			return m.DC, to
		}
	}
	return members[0].DC, members[0].Name
}
