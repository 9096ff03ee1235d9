package member

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

func TestUpdate_LeaderChange(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	changes := make(chan *Snapshot, 10)
	m := open(t, Config{Seeds: urls[:1], OnChange: func(s *Snapshot) { changes <- s }})
	before := m.Snapshot()

	sayAll(members, led(2, urls...))
	s := refreshed(t, m)
	require.Equal(t, urls[2], s.Leader)
	require.Equal(t, urls[:2], s.Followers)
	require.Equal(t, urls[0], before.Leader, "a published snapshot never changes")
	require.Same(t, s, <-changes)

	refreshed(t, m)
	require.Same(t, s, m.Snapshot(), "no change, no new snapshot")
	require.Empty(t, changes)
	require.EqualValues(t, 1, m.Stats().Changes)
	require.EqualValues(t, 2, m.Stats().Refreshes)
}

func TestUpdate_AllocatorsAppearMoveVanish(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	m := open(t, Config{Seeds: urls[:1]})

	resp := cluster(urls...)
	resp.TsoAllocatorLeaders = map[string]*pdpb.Member{
		"dc-1":   memberAt(2, urls[1]),
		"dc-2":   memberAt(3, "nonsense", urls[2]),
		"dc-3":   memberAt(4),
		"":       memberAt(1, urls[0]),
		"global": memberAt(1, urls[0]),
	}
	sayAll(members, resp)
	require.Equal(t, map[string]string{"dc-1": urls[1], "dc-2": urls[2]}, refreshed(t, m).Allocators)

	resp = cluster(urls...)
	resp.TsoAllocatorLeaders = map[string]*pdpb.Member{"dc-1": memberAt(1, urls[0])}
	sayAll(members, resp)
	require.Equal(t, map[string]string{"dc-1": urls[0]}, refreshed(t, m).Allocators)

	sayAll(members, cluster(urls...))
	require.Empty(t, refreshed(t, m).Allocators)
}

func TestUpdate_DeadMembersCostNothing(t *testing.T) {
	members := startMembers(t, 2)
	const dropping = "192.0.2.1:2379"
	urls := []string{members[0].url, members[1].url, blackHole(t), "http://" + dropping}
	sayAll(members, cluster(urls...))
	m := open(t, Config{Seeds: urls[:1], DialOptions: []grpc.DialOption{swallowing(dropping)}})

	// The leader itself is one of those that do not answer: its follower's word is taken.
	members[0].hang()
	members[1].say(led(2, urls...))
	start := time.Now()
	s := refreshed(t, m)
	require.Less(t, time.Since(start), 900*time.Millisecond)
	require.Equal(t, urls[2], s.Leader)
}

func TestUpdate_ConfirmedLeaderBeatsHearsay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net memory
		members := []*fakeMember{net.start(t, "a:1"), net.start(t, "b:1"), net.start(t, "c:1")}
		urls := urlsOf(members)
		sayAll(members, cluster(urls...))
		m := open(t, Config{Seeds: urls, DialOptions: []grpc.DialOption{net.option()}})

		// Two lag behind the election, and the new leader is the last to answer.
		slowly := func(after time.Duration) {
			members[2].do(func(context.Context) (*pdpb.GetMembersResponse, error) {
				time.Sleep(after)
				return led(2, urls...), nil
			})
		}
		members[0].say(led(1, urls...))
		members[1].say(led(0, urls...))
		slowly(confirmGrace / 2)
		require.Equal(t, urls[2], refreshed(t, m).Leader)

		// But there is a limit to waiting for it.
		members[1].say(led(1, urls...))
		members[0].hang()
		require.Equal(t, urls[1], refreshed(t, m).Leader)
		members[1].say(led(0, urls...))
		slowly(2 * confirmGrace)
		time.Sleep(2 * maxBackoff)
		start := time.Now()
		require.Equal(t, urls[0], refreshed(t, m).Leader)
		require.Equal(t, confirmGrace, time.Since(start))
	})
}

func TestUpdate_SeedsAreNeverForgotten(t *testing.T) {
	seed := startMember(t, nil) // Not a member itself: a name that leads to one.
	first, second := startMembers(t, 3), startMembers(t, 3)
	seed.say(cluster(urlsOf(first)...))
	m := open(t, Config{Seeds: []string{seed.url}})
	require.Equal(t, first[0].url, m.Snapshot().Leader)

	// All members move to other addresses at the same time. The old ones stop answering.
	for _, f := range first {
		f.hang()
	}
	seed.say(cluster(urlsOf(second)...))
	s := refreshed(t, m)
	require.Equal(t, second[0].url, s.Leader)
	require.ElementsMatch(t, append(urlsOf(second), seed.url), s.URLs)
}

func TestUpdate_ForeignMembersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // A round waits for the others for a moment only.
		var net memory
		members := []*fakeMember{net.start(t, "a:1"), net.start(t, "b:1"), net.start(t, "c:1")}
		urls := urlsOf(members)
		sayAll(members, cluster(urls...))
		m := open(t, Config{Seeds: urls, DialOptions: []grpc.DialOption{net.option()}})
		foreign := led(1, urls...)
		foreign.Header.ClusterId = 8

		members[1].say(foreign)
		require.Equal(t, urls[0], refreshed(t, m).Leader)

		sayAll(members, foreign)
		s, err := m.RefreshWait(t.Context())
		require.ErrorIs(t, err, ErrClusterMismatch)
		require.ErrorIs(t, m.Err(), ErrClusterMismatch)
		require.Equal(t, urls[0], s.Leader)
		require.NotZero(t, m.Stats().Strangers)

		sayAll(members, cluster(urls...))
		refreshed(t, m)
		require.NoError(t, m.Err(), "not for ever")
	})
}

func TestUpdate_BadAnswersKeepTheLastGoodList(t *testing.T) {
	spoilers := map[string]func(*pdpb.GetMembersResponse){
		"no members":           func(r *pdpb.GetMembersResponse) { r.Members = nil },
		"no leader":            func(r *pdpb.GetMembersResponse) { r.Leader = nil },
		"leader without URL":   func(r *pdpb.GetMembersResponse) { r.Leader = memberAt(1) },
		"leader with bad URLs": func(r *pdpb.GetMembersResponse) { r.Leader = memberAt(1, "", "::", "http://") },
		"header error":         func(r *pdpb.GetMembersResponse) { r.Header.Error = &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN} },
		"server not started":   func(r *pdpb.GetMembersResponse) { r.Header.Error = &pdpb.Error{Message: "server not started"} },
		"thousands of members": func(r *pdpb.GetMembersResponse) { r.Members = manyMembers(5000, 1) },
		"thousands of URLs":    func(r *pdpb.GetMembersResponse) { r.Members = manyMembers(5, 1000) },
		"thousands of DCs":     func(r *pdpb.GetMembersResponse) { r.TsoAllocatorLeaders = manyLocations(5000) },
		"a URL of 5 MiB":       func(r *pdpb.GetMembersResponse) { r.Leader = memberAt(1, strings.Repeat("x", 5<<20)) },
	}
	synctest.Test(t, func(t *testing.T) {
		var net memory
		members := []*fakeMember{net.start(t, "a:1"), net.start(t, "b:1")}
		urls := urlsOf(members)
		sayAll(members, cluster(urls...))
		m := open(t, Config{Seeds: urls, DialOptions: []grpc.DialOption{net.option()}})
		good := m.Snapshot()
		for name, spoil := range spoilers {
			bad := cluster(urls...)
			spoil(bad)
			sayAll(members, bad)
			s, err := m.RefreshWait(t.Context())
			require.Error(t, err, name)
			require.NotErrorIs(t, err, ErrClusterMismatch, name)
			require.Same(t, good, s, name)
			require.Equal(t, err, m.Err(), name)
		}
		sayAll(members, cluster(urls...))
		refreshed(t, m)
		require.Same(t, good, m.Snapshot())
	})
}

func manyMembers(members, urls int) []*pdpb.Member {
	var all []*pdpb.Member
	for i := range members {
		one := memberAt(uint64(i + 1))
		for j := range urls {
			one.ClientUrls = append(one.ClientUrls, fmt.Sprintf("http://pd-%d:%d", i, j+1))
		}
		all = append(all, one)
	}
	return all
}

func manyLocations(n int) map[string]*pdpb.Member {
	all := make(map[string]*pdpb.Member, n)
	for i := range n {
		all[fmt.Sprint("dc-", i)] = memberAt(1, "http://pd:1")
	}
	return all
}

func TestUpdate_OddAnswersAreTidied(t *testing.T) {
	member := startMembers(t, 1)[0]
	m := open(t, Config{Seeds: []string{member.url}})
	resp := &pdpb.GetMembersResponse{
		Header: &pdpb.ResponseHeader{ClusterId: testCluster},
		Leader: memberAt(3, "https://pd-3:1", "http://pd-3:2"),
		Members: []*pdpb.Member{
			memberAt(3, "https://pd-3:1", "http://pd-3:2"), // The leader.
			memberAt(2, "https://PD-2:1"),                  // Only the other scheme.
			memberAt(1, "http://pd-1:1"),
			memberAt(1, "http://pd-1:1"),   // The same again.
			memberAt(4),                    // Not started yet.
			memberAt(5, "http://pd-3:2"),   // At the leader's address.
			memberAt(6, "", "pd-6", "::1"), // No usable address.
		},
	}
	member.say(resp)
	s := refreshed(t, m)
	require.Equal(t, "http://pd-3:2", s.Leader)
	require.Equal(t, []string{"http://pd-1:1", "http://pd-2:1"}, s.Followers)
	require.Equal(t, []string{member.url, "http://pd-1:1", "http://pd-2:1", "http://pd-3:1", "http://pd-3:2"}, s.URLs)
	require.Len(t, s.Members, 7)

	// Another member would list them in another order: that is no change.
	resp.Members[0], resp.Members[1] = resp.Members[1], resp.Members[0]
	member.say(resp)
	require.Same(t, s, refreshed(t, m))
}

func TestUpdate_LargeAnswer(t *testing.T) {
	member := startMembers(t, 1)[0]
	m := open(t, Config{Seeds: []string{member.url}, Timeout: time.Minute})
	large := cluster(member.url)
	large.Members[0].DeployPath = strings.Repeat("x", 5<<20) // gRPC's own limit is 4 MiB.
	member.say(large)
	require.Len(t, refreshed(t, m).Members[0].DeployPath, 5<<20)
}

func TestUpdate_ElectionIsNotWaitedForLong(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	m := open(t, Config{Seeds: urls})
	electing := cluster(urls...)
	electing.Leader = nil
	members[0].hang() // The leader is dead, and the others have not elected one yet.
	members[1].say(electing)
	members[2].say(electing)

	start := time.Now()
	s, err := m.RefreshWait(t.Context())
	require.ErrorIs(t, err, ErrNoLeader)
	require.Equal(t, urls[0], s.Leader)
	require.Less(t, time.Since(start), leaderGrace+time.Second)
}

func TestUpdate_DeadConnectIsFast(t *testing.T) {
	members := startMembers(t, 1)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refused := "http://" + lis.Addr().String()
	require.NoError(t, lis.Close())
	m := open(t, Config{Seeds: []string{members[0].url, refused}})
	members[0].say(&pdpb.GetMembersResponse{})
	start := time.Now()
	_, err = m.RefreshWait(t.Context())
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, refused)
	require.Less(t, time.Since(start), time.Second)
}

func TestUpdate_CandidateIsWhoLeadsEtcdButNotPD(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	m := open(t, Config{Seeds: urls})
	require.Empty(t, m.Candidate())

	electing := cluster(urls...)
	electing.EtcdLeader = electing.Members[2]
	sayAll(members, electing)
	refreshed(t, m)
	require.Equal(t, urls[2], m.Candidate(), "the lease of the leader before has not run out")

	electing = cluster(urls...)
	electing.Leader, electing.EtcdLeader = nil, electing.Members[1]
	sayAll(members, electing)
	_, err := m.RefreshWait(t.Context())
	require.ErrorIs(t, err, ErrNoLeader)
	require.Equal(t, urls[1], m.Candidate())

	elected := led(1, urls...)
	elected.EtcdLeader = elected.Leader
	sayAll(members, elected)
	refreshed(t, m)
	require.Empty(t, m.Candidate())
}
