package hostile

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// How long it takes to find a new leader after an outage long enough for all pauses to
// have grown and all allowances to be used up (pd#5207, pd#9188).
func TestNewLeaderIsFoundAfterALongOutage(t *testing.T) {
	for name, fault := range map[string]func(*tsotest.Server) error{
		"leader killed":     func(s *tsotest.Server) error { return s.StopMember(0) },
		"leader frozen":     func(s *tsotest.Server) error { return s.Hold(0) },
		"path to it is cut": func(s *tsotest.Server) error { return s.CutPath(0) },
	} {
		t.Run(name, func(t *testing.T) {
			const rounds = 20
			var sum, worst time.Duration
			for i := range rounds {
				late := foundAfter(t, fault, 12*time.Second+time.Duration(i)*57*time.Millisecond)
				sum, worst = sum+late, max(worst, late)
			}
			t.Logf("mean %v, worst %v", sum/rounds, worst)
			require.Less(t, sum/rounds, 300*time.Millisecond)
			require.Less(t, worst, 700*time.Millisecond)
		})
	}
}

// foundAfter returns how long after there is a new leader a call that waits for it is
// served, when there has been none for as long as outage.
func foundAfter(t *testing.T, fault func(*tsotest.Server) error, outage time.Duration) (late time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s, tso.WithRequestBudget(time.Minute))
		getTS(t, c)
		s.DropLeader()
		require.NoError(t, fault(s))
		served := make(chan time.Time)
		go func() { getTS(t, c); served <- time.Now() }()
		time.Sleep(outage)
		require.NoError(t, s.MoveLeader(1))
		there := time.Now()
		late = (<-served).Sub(there)
		require.NoError(t, s.Release(0))
		require.NoError(t, s.HealPath(0))
	})
	return late
}

// With the follower proxy on a stream is one to each member: ten of those a second at most,
// so that lanes in good order do not stand in line for them.
func TestFollowerProxyDoesNotStorm(t *testing.T) {
	for _, members := range []int{3, 7} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, tsotest.WithMembers(members))
			c := newClient(t, s)
			followerProxy(t, c, true)
			getTS(t, c)
			calls := startCallers(t, 8, every(c), func(error) bool { return true })
			s.Script(func(tsotest.Request) tsotest.Reply { return tsotest.Reply{Err: io.EOF} })
			before := s.Stats().Streams
			time.Sleep(time.Second)
			first := s.Stats().Streams - before
			time.Sleep(10 * time.Second)
			later := s.Stats().Streams - before - first
			require.LessOrEqual(t, first, uint64(50), "%d members", members)
			require.LessOrEqual(t, later, uint64(100), "%d members", members)
			s.Script(nil)
			calls.stop()
		})
	}
}
