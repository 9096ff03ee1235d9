package hostile

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// spoilers make a list of members one that cannot be used, or should not be
// believed.
var spoilers = map[string]func(*pdpb.GetMembersResponse) error{
	"error":              func(*pdpb.GetMembersResponse) error { return io.ErrUnexpectedEOF },
	"empty":              func(r *pdpb.GetMembersResponse) error { *r = pdpb.GetMembersResponse{}; return nil },
	"no members":         func(r *pdpb.GetMembersResponse) error { r.Members = nil; return nil },
	"no leader":          func(r *pdpb.GetMembersResponse) error { r.Leader, r.EtcdLeader = nil, nil; return nil },
	"leader without URL": func(r *pdpb.GetMembersResponse) error { r.Leader = &pdpb.Member{MemberId: 1}; return nil },
	"leader with bad URLs": func(r *pdpb.GetMembersResponse) error {
		r.Leader = &pdpb.Member{ClientUrls: []string{"", "::", "http://"}}
		return nil
	},
	"no dc-locations": func(r *pdpb.GetMembersResponse) error { r.TsoAllocatorLeaders = nil; return nil },
	"nil members":     func(r *pdpb.GetMembersResponse) error { r.Members = []*pdpb.Member{{}, {}}; return nil },
	"duplicates":      func(r *pdpb.GetMembersResponse) error { r.Members = append(r.Members, r.Members...); return nil },
	"https URLs": func(r *pdpb.GetMembersResponse) error {
		for _, m := range append(r.Members, r.Leader) {
			m.ClientUrls[0] = strings.Replace(m.ClientUrls[0], "http:", "https:", 1)
		}
		return nil
	},
	"another cluster": func(r *pdpb.GetMembersResponse) error { r.Header.ClusterId++; return nil },
	"header error": func(r *pdpb.GetMembersResponse) error {
		r.Header.Error = &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "server not started"}
		return nil
	},
	"unreachable leader": func(r *pdpb.GetMembersResponse) error {
		r.Leader = &pdpb.Member{MemberId: 9, ClientUrls: []string{"http://192.0.2.99:2379"}}
		r.Members = append(r.Members, r.Leader)
		return nil
	},
	"thousands": func(r *pdpb.GetMembersResponse) error {
		for i := range 5000 {
			r.Members = append(r.Members, &pdpb.Member{MemberId: uint64(100 + i), ClientUrls: []string{fmt.Sprintf("http://pd-%d:2379", i)}})
		}
		return nil
	},
}

// For half a second all members answer like this, while the leader moves; calls
// wait for it to end and none fails.
func TestHostileListsOfMembersCostNoCall(t *testing.T) {
	for name, spoil := range spoilers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tsotest.WithMembers(3), tsotest.WithDCs("dc-1"))
				c := newClient(t, s)
				calls := startCallers(t, 4, every(c), nil)
				local := startCallers(t, 2, func() (int64, int64, error) { return c.GetLocalTS(context.Background(), "dc-1") }, nil)
				time.Sleep(50 * time.Millisecond)
				s.ScriptMembers(func(_ int, r *pdpb.GetMembersResponse) error { return spoil(r) })
				for i := range 3 {
					require.NoError(t, s.MoveLeader((i+1)%3))
					require.NoError(t, s.MoveAllocator("dc-1", i%3))
					time.Sleep(200 * time.Millisecond)
				}
				s.ScriptMembers(nil)
				began := time.Now()
				getTS(t, c)
				_, _, err := c.GetLocalTS(context.Background(), "dc-1")
				require.NoError(t, err)
				t.Logf("%v", time.Since(began))
				require.Less(t, time.Since(began), 1500*time.Millisecond)
				calls.stop()
				local.stop()
			})
		})
	}
}

// Lists of members made at random, under load (pd#6543, pd#6544, pd#3377).
func TestRandomListsOfMembersUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3), tsotest.WithDCs("dc-1", "dc-2"))
		c := newClient(t, s)
		calls := startCallers(t, 8, every(c), nil)
		all := make([]func(*pdpb.GetMembersResponse) error, 0, len(spoilers))
		for _, spoil := range spoilers {
			all = append(all, spoil)
		}
		s.ScriptMembers(func(_ int, r *pdpb.GetMembersResponse) error {
			for range rand.IntN(3) {
				if r.Header == nil || r.Leader == nil || len(r.Members) == 0 || len(r.Leader.ClientUrls) == 0 || len(r.Members[0].ClientUrls) == 0 {
					break
				}
				if err := all[rand.IntN(len(all))](r); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range 30 {
			require.NoError(t, s.MoveLeader(i%3))
			time.Sleep(100 * time.Millisecond)
		}
		s.ScriptMembers(nil)
		getTS(t, c)
		calls.stop()
	})
}

// Two members say of themselves that they lead: whoever serves timestamps does.
func TestTwoMembersThatClaimToLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s)
		calls := startCallers(t, 4, every(c), nil)
		s.ScriptMembers(func(member int, r *pdpb.GetMembersResponse) error {
			if member < 2 {
				r.Leader = r.Members[member]
			}
			return nil
		})
		for i := range 10 {
			require.NoError(t, s.MoveLeader(i%2))
			began := time.Now()
			getTS(t, c)
			require.Less(t, time.Since(began), 5*time.Second)
			time.Sleep(100 * time.Millisecond)
		}
		calls.stop()
	})
}

// An address that now belongs to another cluster (pd#10516, pd#10552: the address
// of a pod is used again): its answers are refused, ours goes on, and if all
// addresses have changed hands the calls say so.
func TestAddressThatChangesHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours := newServer(t, tsotest.WithMembers(2), tsotest.WithClusterID(1))
		theirs := newServer(t, tsotest.WithMembers(2), tsotest.WithClusterID(2))
		var taken [2]atomic.Bool
		dial := func(ctx context.Context, address string) (net.Conn, error) {
			if taken[address[len("192.0.2.")]-'1'].Load() {
				return theirs.Dialer()(ctx, address)
			}
			return ours.Dialer()(ctx, address)
		}
		c, err := tso.NewClient(ours.URLs(), tso.SecurityOption{}, dialThrough(dial))
		require.NoError(t, err)
		defer c.Close()
		getTS(t, c)
		calls := startCallers(t, 4, every(c), nil)
		taken[0].Store(true)
		require.NoError(t, ours.ResetConns(0))
		time.Sleep(200 * time.Millisecond)
		require.NoError(t, ours.MoveLeader(1))
		time.Sleep(200 * time.Millisecond)
		getTS(t, c)
		calls.stop()
		require.Zero(t, theirs.Stats().Timestamps)

		taken[1].Store(true)
		require.NoError(t, ours.ResetConns(1))
		_, _, err = c.GetTS(context.Background())
		require.ErrorIs(t, err, tso.ErrClusterMismatch)
		require.Zero(t, theirs.Stats().Timestamps)
	})
}

// Members come and go while the client is closed (pd#6586: a deadlock).
func TestCloseDuringChangesOfMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(2))
		for i := range 8 {
			c := newClient(t, s)
			calls := startCallers(t, 4, every(c), nil)
			added, err := s.AddMember()
			require.NoError(t, err)
			require.NoError(t, s.MoveLeader(added))
			time.Sleep(time.Duration(3*i) * time.Millisecond)
			require.NoError(t, s.MoveLeader(i%2))
			go s.RemoveMember(added)
			began := time.Now()
			c.Close()
			require.Less(t, time.Since(began), 100*time.Millisecond)
			calls.end()
		}
	})
}
