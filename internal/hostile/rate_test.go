package hostile

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// A server that ends or refuses each stream for ever: PD's client opens 330 new
// streams a second on it. Here streams, connections and questions for the members
// stay rare, and the first sane answer ends it all.
func TestServerThatFailsForEverIsNotStormed(t *testing.T) {
	for name, reply := range map[string]tsotest.Reply{
		"Internal":        {Err: status.Error(codes.Internal, "boom")},
		"EOF":             {Err: io.EOF},
		"not leader":      {Err: tsotest.ErrNotLeader("")},
		"count too large": {Edit: func(r *pdpb.TsoResponse) { r.Count++ }},
		"fallback":        {Edit: func(r *pdpb.TsoResponse) { r.Timestamp.Physical -= 3_600_000 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tsotest.WithMembers(3))
				c := newClient(t, s)
				getTS(t, c)
				calls := startCallers(t, 8, every(c), func(error) bool { return true })
				s.Script(func(tsotest.Request) tsotest.Reply { return reply })
				counts := map[string]func(tsotest.Stats) uint64{
					"streams":    func(s tsotest.Stats) uint64 { return s.Streams },
					"GetMembers": func(s tsotest.Stats) uint64 { return s.Members[0].GetMembers },
					"conns":      func(s tsotest.Stats) uint64 { return s.Conns },
				}
				before := s.Stats()
				for second := range uint64(6) {
					time.Sleep(time.Second)
					for what, count := range counts {
						require.LessOrEqual(t, count(s.Stats())-count(before), 50+10*second, "%s in second %d", what, second+1)
					}
				}
				require.Greater(t, s.Stats().Streams-before.Streams, uint64(25), "the client has given up")
				s.Script(nil)
				began := time.Now()
				getTS(t, c)
				require.Less(t, time.Since(began), 500*time.Millisecond)
				calls.stop()
			})
		})
	}
}

// The storm of "few thousand qps" (pd#6556, tidb#46770): many clients look
// for a leader that is not there.
func TestManyClientsWithoutALeaderAskRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(2))
		const clients = 10
		all := make([]tso.Client, clients)
		for i := range all {
			all[i] = newClient(t, s, tso.WithRequestBudget(time.Minute))
		}
		getTS(t, all[0])
		s.DropLeader()
		var calls []*callers
		for _, c := range all {
			calls = append(calls, startCallers(t, 1, every(c), nil))
		}
		before := s.Stats()
		for second := range uint64(2) {
			time.Sleep(time.Second)
			now := s.Stats()
			bound := clients * (50 + 10*second)
			require.LessOrEqual(t, now.Members[1].GetMembers-before.Members[1].GetMembers, bound, "GetMembers in second %d", second+1)
			require.LessOrEqual(t, now.Streams-before.Streams, bound, "streams in second %d", second+1)
		}
		require.NoError(t, s.MoveLeader(1))
		time.Sleep(500 * time.Millisecond)
		for _, c := range calls {
			c.stop()
		}
	})
}

// Many goroutines that notice the loss of the leader at once ask once.
func TestQuestionsForTheMembersAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := newClient(t, s)
		getTS(t, c)
		before := s.Stats().GetMembers
		for range 1000 {
			go c.GetAllMembers(context.Background())
		}
		synctest.Wait()
		time.Sleep(time.Second)
		require.LessOrEqual(t, s.Stats().GetMembers-before, uint64(5))
	})
}
