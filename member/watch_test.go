package member

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/office"
	"github.com/tsoring/tso/tsotest"
)

// watchable returns an embedded cluster of n members that can be watched, and who follows it. It
// counts how often the office has changed.
func watchable(t *testing.T, n int) (*tsotest.Server, *Members, *atomic.Int64) {
	t.Helper()
	s := tsotest.New(t, tsotest.WithBufconn(), tsotest.WithMembers(n), tsotest.WithWatch())
	changes := new(atomic.Int64)
	m, err := New(t.Context(), Config{
		Seeds: s.URLs(),
		Dial: func(string, bool) func(context.Context, string) (net.Conn, error) {
			return s.Dialer()
		},
		Logger:   zaptest.NewLogger(t),
		OnOffice: func() { changes.Add(1) },
	})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	synctest.Wait()
	return s, m, changes
}

// watched returns the members that are watched, by their numbers.
func watched(s *tsotest.Server) (numbers []int) {
	for i, m := range s.Stats().Members {
		if m.OpenWatches > 0 {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// other returns a member of three that is neither.
func other(a, b int) int { return 3 - a - b }

func requireOffice(t *testing.T, m *Members, state office.State, holder string) {
	t.Helper()
	require.Equal(t, state.String(), m.Office().State.String())
	require.Equal(t, holder, m.Office().Holder)
}

func TestWatch_OneAtAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := watchable(t, 3)
		requireOffice(t, m, office.Named, s.URL(0))
		require.Zero(t, m.Office().Told, "it has been found, not told")
		require.Len(t, watched(s), 1)
		require.NotContains(t, watched(s), s.Leader())

		const idle = time.Hour
		before := s.Stats()
		time.Sleep(idle)
		after := s.Stats()
		require.EqualValues(t, 1, after.Watches)
		require.EqualValues(t, 1, after.Ranges)
		require.InEpsilon(t, uint64(idle/aliveInterval), after.Progress-before.Progress, 0.1)
		requireOffice(t, m, office.Named, s.URL(0))
	})
}

func TestWatch_AtTheOnlyMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := watchable(t, 1)
		requireOffice(t, m, office.Named, s.URL(0))
		m.Trouble()
		synctest.Wait()
		requireOffice(t, m, office.Named, s.URL(0))
	})
}

func TestWatch_TellsThatTheLeaderChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, changes := watchable(t, 3)
		before := changes.Load()

		s.DropLeader()
		synctest.Wait()
		requireOffice(t, m, office.Nobody, "")
		require.Equal(t, before+1, changes.Load())

		time.Sleep(time.Second)
		require.NoError(t, s.MoveLeader(1))
		synctest.Wait()
		requireOffice(t, m, office.Named, s.URL(1))
		require.Equal(t, time.Now(), m.Office().Told)
		require.Equal(t, before+2, changes.Load())
		require.Equal(t, s.URL(0), m.Snapshot().Leader, "lists alone make the snapshot")
	})
}

func TestWatch_MovesWhenItEnds(t *testing.T) {
	for name, end := range map[string]func(*tsotest.Server, int) error{
		"stopped": (*tsotest.Server).StopMember,
		"ended":   func(s *tsotest.Server, i int) error { return s.EndWatches(i) },
		"removed": (*tsotest.Server).RemoveMember,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, m, _ := watchable(t, 3)
				first := watched(s)[0]
				require.NoError(t, end(s, first))
				synctest.Wait()
				require.Equal(t, []int{other(0, first)}, watched(s))
				requireOffice(t, m, office.Named, s.URL(0))
			})
		})
	}
}

// What the second watch has found counts also if the first one ends before the second has begun.
func TestWatch_EndsAsAnotherBegins(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			s, m, _ := watchable(t, 3)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = s.StopMember(watched(s)[0])
			}()
			m.Trouble()
			<-ended
			time.Sleep(doubtAfter)
			synctest.Wait()
			requireOffice(t, m, office.Named, s.URL(0))
		})
	}
}

func TestWatch_NothingIsMadeOfSilence(t *testing.T) {
	for name, silence := range map[string]func(*tsotest.Server, ...int) error{
		"frozen": (*tsotest.Server).HoldWatches,
		"behind": func(s *tsotest.Server, members ...int) error { return s.SetWatchBehind(true, members...) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, m, _ := watchable(t, 3)
				require.NoError(t, silence(s, 0, watched(s)[0]))
				require.NoError(t, s.MoveLeader(other(0, watched(s)[0])))
				synctest.Wait()
				requireOffice(t, m, office.Named, s.URL(0))

				m.Trouble()
				require.Equal(t, office.Unwatched, m.Office().State, "the watched member has not shown that it is awake")
				time.Sleep(doubtAfter + time.Millisecond)
				synctest.Wait()
				requireOffice(t, m, office.Named, s.URL(s.Leader()))
			})
		})
	}
}

func TestWatch_NobodyToBelieve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := watchable(t, 3)
		require.NoError(t, s.HoldWatches())
		m.Trouble()
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			require.Equal(t, office.Unwatched, m.Office().State)
		}
		require.NoError(t, s.ReleaseWatches())
		time.Sleep(maxShunned)
		requireOffice(t, m, office.Named, s.URL(0))
	})
}

func TestWatch_ASecondOneInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := watchable(t, 3)
		m.Trouble()
		synctest.Wait()
		require.Len(t, watched(s), 2)
		require.NotContains(t, watched(s), s.Leader())
		requireOffice(t, m, office.Named, s.URL(0))

		m.Calm("")
		time.Sleep(reliefLinger / 2)
		m.Trouble()
		time.Sleep(reliefLinger)
		require.Len(t, watched(s), 2, "it was not over")

		m.Calm("")
		time.Sleep(reliefLinger + time.Millisecond)
		synctest.Wait()
		require.Len(t, watched(s), 1)
		requireOffice(t, m, office.Named, s.URL(0))
		require.EqualValues(t, 2, m.Stats().Watches)
	})
}

func TestWatch_WhoIsNamedIsRefutedOnlyAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := watchable(t, 3)
		m.Refute(s.URL(1))
		requireOffice(t, m, office.Named, s.URL(0))
		m.Refute(s.URL(0))
		requireOffice(t, m, office.Refuted, s.URL(0))

		require.NoError(t, s.MoveLeader(1))
		synctest.Wait()
		m.Refute(s.URL(1))
		requireOffice(t, m, office.Named, s.URL(1))
		time.Sleep(refuteGrace)
		m.Refute(s.URL(1))
		requireOffice(t, m, office.Refuted, s.URL(1))
		m.Calm(s.URL(1))
		requireOffice(t, m, office.Named, s.URL(1))
		m.Calm(s.URL(2))
		requireOffice(t, m, office.Refuted, s.URL(1))
	})
}

func TestWatch_WhereThereIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, changes := watchable(t, 3)
		before := s.Stats()
		require.NoError(t, s.RefuseWatches(status.Error(codes.Unimplemented, "unknown service")))
		require.NoError(t, s.EndWatches())
		synctest.Wait()
		require.Equal(t, office.Unwatched, m.Office().State)
		require.NotZero(t, changes.Load())

		m.Trouble()
		time.Sleep(10 * time.Minute)
		require.Equal(t, office.Unwatched, m.Office().State)
		asked := s.Stats().Ranges - before.Ranges
		require.Less(t, asked, uint64(3*11+3), "each member once a minute")
		require.Greater(t, asked, uint64(20))

		require.NoError(t, s.RefuseWatches(nil))
		time.Sleep(maxShunned + time.Second)
		requireOffice(t, m, office.Named, s.URL(0))
	})
}

// A PD that keeps its leader elsewhere has none of this key, and a leader all the same.
func TestWatch_NoSuchKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := watchable(t, 3)
		s.ScriptWatch(func(_ int, a *tsotest.WatchAnswer) error {
			if a.Range {
				a.Events = nil
			}
			return nil
		})
		require.NoError(t, s.EndWatches())
		time.Sleep(time.Second)
		require.Len(t, watched(s), 1)
		require.Equal(t, office.Unwatched, m.Office().State)

		require.NoError(t, s.MoveLeader(1))
		synctest.Wait()
		requireOffice(t, m, office.Named, s.URL(1))
	})
}

func TestWatch_RubbishEndsIt(t *testing.T) {
	noMember, err := (&pdpb.Member{Name: "pd", ClientUrls: []string{"http://pd:2379"}}).Marshal()
	require.NoError(t, err)
	noURL, err := (&pdpb.Member{MemberId: 1, ClientUrls: []string{"::"}}).Marshal()
	require.NoError(t, err)
	for name, value := range map[string][]byte{"nothing": nil, "no message": {0xff}, "no member": noMember, "no URL": noURL} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, m, _ := watchable(t, 3)
				s.ScriptWatch(func(_ int, a *tsotest.WatchAnswer) error {
					for i := range a.Events {
						a.Events[i].Value = slices.Clone(value)
					}
					return nil
				})
				require.NoError(t, s.MoveLeader(1))
				time.Sleep(10 * time.Second)
				require.Equal(t, office.Unwatched, m.Office().State)
				require.Less(t, s.Stats().Ranges, uint64(20))

				s.ScriptWatch(nil)
				time.Sleep(maxShunned)
				requireOffice(t, m, office.Named, s.URL(1))
			})
		})
	}
}
