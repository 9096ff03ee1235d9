package tso

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/office"
	"github.com/tsoring/tso/member"
	"github.com/tsoring/tso/tsotest"
)

// watchable are the options of a cluster that can be watched.
func watchable() []tsotest.Option {
	return []tsotest.Option{tsotest.WithMembers(3), tsotest.WithWatch()}
}

// electing has a server's lists lag: they name nobody from each change of the leader on.
func electing(s *tsotest.Server) {
	s.ScriptMembers(func(_ int, resp *pdpb.GetMembersResponse) error {
		resp.Leader, resp.EtcdLeader = nil, nil
		return nil
	})
}

// get begins a call and returns where its error comes.
func get(c Client) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, _, err := c.GetTS(context.Background())
		done <- err
	}()
	return done
}

// questions returns how many requests of nobody's the members have had.
func questions(s *tsotest.Server, c Client) int64 { return int64(s.Stats().Requests) - c.Stats().RPCs }

// While there is no leader nobody is asked for anything, and who is named is asked at once.
func TestLeader_IsNotSearchedForWhileThereIsNone(t *testing.T) {
	for _, outage := range []time.Duration{100 * time.Millisecond, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s, c := inMemory(t, watchable(), WithRequestBudget(time.Minute))
			requireGetTS(t, c)
			synctest.Wait() // for the watch
			electing(s)
			before := s.Stats()
			s.DropLeader()
			done := get(c)

			time.Sleep(outage)
			after := s.Stats()
			for i := range 3 {
				// At the fault, and 2 s and 10 s after that.
				require.LessOrEqual(t, after.Members[i].GetMembers-before.Members[i].GetMembers, uint64(4))
				if i > 0 {
					require.Equal(t, before.Members[i].Requests, after.Members[i].Requests)
				}
			}
			require.Less(t, after.Requests-before.Requests, uint64(outage/runPause+4), "but for the lane itself")

			require.NoError(t, s.MoveLeader(1))
			began := time.Now()
			require.NoError(t, <-done)
			require.GreaterOrEqual(t, time.Since(began), toldAhead)
			require.Less(t, time.Since(began), toldAhead+2*toldPause)
		})
	}
}

// A leader is told before it serves. PD has who asks too early sleep, one stream at a time.
func TestLeader_IsAskedAgainUntilItServes(t *testing.T) {
	for serves := toldAhead; serves < 3*time.Second; serves = serves*3/2 + time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			s, c := inMemory(t, watchable())
			requireGetTS(t, c)
			electing(s)
			s.DropLeader()
			done := get(c)
			time.Sleep(50 * time.Millisecond)
			began := time.Now()
			s.Script(func(r tsotest.Request) tsotest.Reply {
				if r.Member == 1 && time.Since(began) < serves {
					return tsotest.Reply{Delay: 200 * time.Millisecond, Err: errNotLeader}
				}
				return tsotest.Reply{}
			})
			require.NoError(t, s.MoveLeader(1))
			require.NoError(t, <-done)
			late := time.Since(began) - serves
			require.Less(t, late, max(3*rescuePause, min(time.Duration(1.5*toldShare*float64(serves)), toldMost*3/2)))
			require.Less(t, questions(s, c), int64(100))
		})
	}
}

// An idle client goes to the next leader when it is told, and not when somebody calls.
func TestLeader_IsFollowedWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inMemory(t, watchable())
		requireGetTS(t, c)
		synctest.Wait()
		require.Equal(t, int64(1), c.Stats().Watches)
		require.NoError(t, s.MoveLeader(2))
		time.Sleep(100 * time.Millisecond)
		require.NotZero(t, c.Stats().LeaderEvents)
		require.Equal(t, s.URL(2), c.(*client).global.dialed.Load().target)
		began := time.Now()
		requireGetTS(t, c)
		require.Zero(t, time.Since(began))
	})
}

// A member that is named and says that it does not lead is asked less and less often, and so is
// everybody for a list.
func TestLeader_WhoRefusesIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inMemory(t, watchable(), WithRequestBudget(time.Minute))
		requireGetTS(t, c)
		const outage = 10 * time.Second
		s.Script(func(tsotest.Request) tsotest.Reply { return tsotest.Reply{Err: errNotLeader} })
		lists, asked := s.Stats().GetMembers, s.Stats().Requests
		done := get(c)
		time.Sleep(outage)
		require.LessOrEqual(t, s.Stats().GetMembers-lists, uint64(3*12), "12 rounds")
		require.LessOrEqual(t, s.Stats().Requests-asked, uint64(120))
		require.Equal(t, office.Refuted, c.(*client).members.Office().State)

		s.Script(nil)
		began := time.Now()
		require.NoError(t, <-done)
		require.Less(t, time.Since(began), time.Second)
		synctest.Wait()
		require.Equal(t, office.Named, c.(*client).members.Office().State)
	})
}

// What a watch says or does not say costs no more than if there were none.
func TestLeader_WatchesThatAreOfNoUse(t *testing.T) {
	// Who is elected, and who the watches lie about.
	const next, wrong = 1, 2
	lie := func(s *tsotest.Server) error {
		value, err := (&pdpb.Member{Name: "pd", MemberId: 3, ClientUrls: []string{s.URL(wrong)}}).Marshal()
		s.ScriptWatch(func(_ int, a *tsotest.WatchAnswer) error {
			for i := range a.Events {
				a.Events[i].Value, a.Events[i].Deleted = value, false
			}
			return nil
		})
		return err
	}
	for name, spoil := range map[string]func(*tsotest.Server) error{
		"none": func(s *tsotest.Server) error {
			return s.RefuseWatches(status.Error(codes.Unimplemented, "unknown service"))
		},
		"frozen":  func(s *tsotest.Server) error { return s.HoldWatches() },
		"refused": func(s *tsotest.Server) error { return s.RefuseWatches(status.Error(codes.Internal, "no")) },
		"behind":  func(s *tsotest.Server) error { return s.SetWatchBehind(true) },
		"late":    func(s *tsotest.Server) error { return s.SetWatchDelay(5 * time.Second) },
		"lying":   lie,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := inMemory(t, watchable())
				requireGetTS(t, c)
				require.NoError(t, spoil(s))
				s.DropLeader()
				done := get(c)
				time.Sleep(500 * time.Millisecond)
				require.NoError(t, s.MoveLeader(next))
				began := time.Now()
				require.NoError(t, <-done)
				t.Logf("served after %v", time.Since(began))
				require.Less(t, time.Since(began), 3*time.Second)
			})
		})
	}
}

// A watch that names ever new leaders costs questions, and nobody is kept from being served.
func TestLeader_ManyAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inMemory(t, watchable())
		requireGetTS(t, c)
		var turn atomic.Int64
		s.ScriptWatch(func(_ int, a *tsotest.WatchAnswer) error {
			for i := range a.Events {
				value, err := (&pdpb.Member{Name: "pd", MemberId: 3, ClientUrls: []string{s.URL(int(turn.Add(1)) % 3)}}).Marshal()
				if err != nil {
					return err
				}
				a.Events[i].Value, a.Events[i].Deleted = value, false
			}
			return nil
		})
		require.NoError(t, s.SetLatency(time.Millisecond)) // or time would stand still
		stop := load(t, c, 4)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			require.NoError(t, s.MoveLeader(0))
		}
		stop()
		require.Less(t, questions(s, c), int64(10*40))
		require.Less(t, int64(s.Stats().Streams), int64(10*40))
	})
}

// toldOffice is what watches say that have told of a leader.
type toldOffice struct {
	noWatch
	told member.Office
}

func (w toldOffice) Office() member.Office { return w.told }

// The connection to who is named may be dead, which a question that PD sleeps over looks like.
func TestLeader_BehindADeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := election(time.Hour)
		refuses := e.open
		e.open = func(ctx context.Context, dc string, r route) (tsoStream, error) {
			if r.via == "pd-2" {
				return e.stream(ctx, newFakeStream(r.via))
			}
			return refuses(ctx, dc, r)
		}
		e.probe = func(r route) tsoStream {
			if r.via == "pd-2" {
				return newEchoStream(r.via, &e.oracle)
			}
			return nil
		}
		e.watch = toldOffice{told: member.Office{State: office.Named, Holder: "pd-2", Told: time.Now()}}
		began := time.Now()
		_, _, err := pushNew(t, startLane(t, e), context.Background()).Wait()
		require.NoError(t, err)
		require.Greater(t, time.Since(began), 200*time.Millisecond)
		require.Less(t, time.Since(began), 450*time.Millisecond)
	})
}
