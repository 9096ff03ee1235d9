package integration_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/integration/pdcluster"
	"github.com/tsoring/tso/internal/etcdwatch"
)

// etcdWatch watches the leader's key at one member.
type etcdWatch struct {
	*etcdwatch.Stream
	t      *testing.T
	at     *pdcluster.Member
	leader string // by the last that has been told
	gone   bool   // there has been none since the watch began
	header etcdwatch.Header
}

// watchEtcd begins a watch at a member, and waits until it says that leader leads, which a
// member that has just been started learns in a moment.
func watchEtcd(ctx context.Context, t *testing.T, cluster *pdcluster.Cluster, at, leader *pdcluster.Member) *etcdWatch {
	t.Helper()
	transport := insecure.NewCredentials()
	if cluster.TLS != nil {
		config, err := cluster.TLS.Config()
		require.NoError(t, err)
		transport = credentials.NewTLS(config)
	}
	_, address, _ := strings.Cut(at.ClientURL, "://")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	list, err := pdpb.NewPDClient(conn).GetMembers(ctx, &pdpb.GetMembersRequest{})
	require.NoError(t, err)

	now, err := etcdwatch.Range(ctx, conn, []string{
		fmt.Sprintf("/pd/%d/leader", list.GetHeader().GetClusterId()), "/nobody/writes/this",
	})
	require.NoError(t, err)
	require.Len(t, now.Events, 2)
	require.True(t, now.Events[1].Deleted)
	for _, m := range list.GetMembers() {
		if m.GetName() == at.Name {
			require.Equal(t, m.GetMemberId(), now.MemberID)
		}
	}
	w := &etcdWatch{t: t, at: at, header: now.Header}
	w.take(now.Events[0])

	w.Stream, err = etcdwatch.Watch(ctx, conn, now)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	for begun := false; !begun || w.leader != leader.Name; {
		begun = w.next().Begun || begun
	}
	w.gone = false
	return w
}

func (w *etcdWatch) next() etcdwatch.Update {
	w.t.Helper()
	u, err := w.Next()
	require.NoError(w.t, err)
	require.Equal(w.t, w.header.MemberID, u.MemberID)
	require.GreaterOrEqual(w.t, u.Revision, w.header.Revision)
	w.header = u.Header
	for _, e := range u.Events {
		w.take(e)
	}
	return u
}

func (w *etcdWatch) take(e etcdwatch.Event) {
	w.t.Helper()
	if e.Deleted {
		w.leader, w.gone = "", true
		return
	}
	var m pdpb.Member
	require.NoError(w.t, m.Unmarshal(e.Value))
	w.leader = m.GetName()
}

// requireNews requires that the office has been vacant, and then been the leader's.
func (w *etcdWatch) requireNews(leader *pdcluster.Member) {
	w.t.Helper()
	for w.leader != leader.Name || !w.gone {
		w.next()
	}
}

func TestThreeNodes_EtcdWatchTellsLeader(t *testing.T) {
	cluster := three.use(t)
	requireServing(t, cluster)
	for _, fault := range []struct {
		name string
		do   func(ctx context.Context, leader *pdcluster.Member) error
	}{
		{"resign", func(ctx context.Context, _ *pdcluster.Member) error { return cluster.Resign(ctx) }},
		{"transfer", func(ctx context.Context, leader *pdcluster.Member) error {
			return cluster.TransferLeader(ctx, follower(cluster, leader).Name)
		}},
		{"kill", func(_ context.Context, leader *pdcluster.Member) error { return leader.Kill() }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			requireEtcdWatchTells(t, cluster, fault.do)
		})
	}
}

// With TLS etcd serves gRPC in another way, through net/http.
func TestTLS_EtcdWatchTellsLeader(t *testing.T) {
	cluster := threeTLS.use(t)
	requireServing(t, cluster)
	requireEtcdWatchTells(t, cluster, func(ctx context.Context, _ *pdcluster.Member) error { return cluster.Resign(ctx) })
}

// requireEtcdWatchTells takes the office from the leader, and requires that a follower's watch
// tells who has it then, and goes on.
func requireEtcdWatchTells(t *testing.T, cluster *pdcluster.Cluster, fault func(context.Context, *pdcluster.Member) error) {
	t.Helper()
	ctx := bounded(t, time.Minute)
	leader, err := cluster.WaitLeader(ctx)
	require.NoError(t, err)
	w := watchEtcd(ctx, t, cluster, follower(cluster, leader), leader)
	require.NoError(t, fault(ctx, leader))
	next, err := cluster.WaitLeader(ctx)
	require.NoError(t, err)
	w.requireNews(next)

	require.NoError(t, w.Progress())
	for u := w.next(); !u.Progress(); u = w.next() {
	}
	require.NoError(t, leader.Launch())
	requireServing(t, cluster)
}

func TestThreeNodes_EtcdWatchEndsWithItsMember(t *testing.T) {
	cluster := three.use(t)
	requireServing(t, cluster)
	ctx := bounded(t, time.Minute)
	leader, err := cluster.WaitLeader(ctx)
	require.NoError(t, err)
	w := watchEtcd(ctx, t, cluster, follower(cluster, leader), leader)
	require.NoError(t, w.at.Kill())
	for err == nil {
		_, err = w.Next()
	}
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.NoError(t, w.at.Launch())
	requireServing(t, cluster)
}
