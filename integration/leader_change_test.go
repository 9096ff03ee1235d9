package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/pdcluster"
	"github.com/tsoring/tso/internal/history"
)

// composed makes one number of what GetTS returns.
func composed(physical, logical int64, err error) (uint64, error) {
	return tso.ComposeTS(physical, logical), err
}

// freeze stops a member until the function that it returns is called, at the
// end of t at the latest.
func freeze(t *testing.T, m *pdcluster.Member) (thaw func()) {
	t.Helper()
	require.NoError(t, m.Freeze())
	thaw = func() { require.NoError(t, m.Thaw()) }
	t.Cleanup(thaw)
	return thaw
}

// requireServing waits until all members serve.
func requireServing(t *testing.T, cluster *pdcluster.Cluster) {
	t.Helper()
	ctx := bounded(t, time.Minute)
	for _, m := range cluster.Members() {
		require.NoError(t, m.WaitServing(ctx))
	}
	_, err := cluster.WaitLeader(ctx)
	require.NoError(t, err)
}

// window is the time of one fault, on the recorder's clock.
type window struct {
	name   string
	hit    int64 // when the fault began
	floor  int64 // when a leader served again, asked directly
	served int64 // when each client had served a call made after that
}

// leaderLoad is a steady load on three nodes whose leader changes. It leaves the
// processors to PD most of the time: an election that starves proves nothing.
type leaderLoad struct {
	*load
	t       *testing.T
	cluster *pdcluster.Cluster
	clients []tso.Client
	windows []window
}

func startLeaderLoad(t *testing.T, cluster *pdcluster.Cluster, security tso.SecurityOption) *leaderLoad {
	t.Helper()
	requireServing(t, cluster)
	l := &leaderLoad{load: newLoad(withoutEnd), t: t, cluster: cluster}
	l.pause = 2 * time.Millisecond
	for range 2 {
		client := connect(t, cluster.ClientURLs(), security)
		l.callers(16, client, global)
		l.futures(3, 16, client, global)
		l.clients = append(l.clients, client)
	}
	l.serve()
	return l
}

// serve makes one call with each client.
func (l *leaderLoad) serve() {
	l.t.Helper()
	for _, client := range l.clients {
		_, _, err := client.GetTS(bounded(l.t, 30*time.Second))
		require.NoError(l.t, err)
	}
}

// slack is what finding the new leader may take once it serves. It is three
// times what was seen at most, 1.1 s.
const slack = 3500 * time.Millisecond

// change takes the office from the leader and waits until the clients have found
// who has it then.
func (l *leaderLoad) change(name string, fault func(ctx context.Context, leader *pdcluster.Member) error) *pdcluster.Member {
	l.t.Helper()
	ctx := bounded(l.t, time.Minute)
	old, err := l.cluster.WaitLeader(ctx)
	require.NoError(l.t, err)
	w := window{name: name, hit: l.recorder.Now()}
	require.NoError(l.t, fault(ctx, old), name)
	next, err := l.cluster.WaitLeader(ctx)
	require.NoError(l.t, err, name)
	w.name = fmt.Sprintf("%s %s→%s", name, old.Name, next.Name)
	w.floor = l.recorder.Now()
	l.serve()
	w.served = l.recorder.Now()
	l.windows = append(l.windows, w)
	require.Less(l.t, time.Duration(w.served-w.floor), slack, name)
	return old
}

// finish ends the load and tells what each fault cost.
func (l *leaderLoad) finish() *report {
	l.t.Helper()
	r := l.load.finish()
	for _, w := range l.windows {
		l.t.Logf("%s: floor %v, served %v later; longest silence %v, longest call %v", w.name,
			time.Duration(w.floor-w.hit).Round(time.Millisecond),
			time.Duration(w.served-w.floor).Round(time.Microsecond),
			r.silence(history.Global, w.hit, w.served), r.longest(w.hit, w.served))
	}
	for _, client := range l.clients {
		l.t.Logf("%+v", client.Stats())
	}
	return r
}

func TestThreeNodes_LeaderMovesUnderLoad(t *testing.T) {
	cluster := three.use(t)
	l := startLeaderLoad(t, cluster, plain)
	for range 4 {
		l.change("resign", func(ctx context.Context, _ *pdcluster.Member) error { return cluster.Resign(ctx) })
	}
	for range 3 {
		l.change("transfer", func(ctx context.Context, leader *pdcluster.Member) error {
			return cluster.TransferLeader(ctx, follower(cluster, leader).Name)
		})
	}
	l.finish().requireClean(t)
}

// follower returns a member that does not lead.
func follower(cluster *pdcluster.Cluster, leader *pdcluster.Member) *pdcluster.Member {
	for _, m := range cluster.Members() {
		if m != leader {
			return m
		}
	}
	return nil
}

func TestThreeNodes_LeaderKilledUnderLoad(t *testing.T) {
	cluster := three.use(t)
	l := startLeaderLoad(t, cluster, plain)
	for range 2 {
		dead := l.change("kill -9", func(_ context.Context, leader *pdcluster.Member) error { return leader.Kill() })
		require.NoError(t, dead.Launch())
		require.NoError(t, dead.WaitServing(bounded(t, time.Minute)))
	}
	l.finish().requireOrder(t)
}
