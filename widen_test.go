package tso

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// wideEnv is an environment with three members, all of which requests are to be spread
// over, and of which pd-1 is the leader; those that are silent open streams and say nothing.
func wideEnv(silent func(via string) bool) (e *fakeEnv, asked map[string]*atomic.Int64) {
	e = newFakeEnv(nil)
	members := []string{"pd-1", "pd-2", "pd-3"}
	asked = make(map[string]*atomic.Int64)
	for _, m := range members {
		asked[m] = new(atomic.Int64)
	}
	e.members = func() []string { return members }
	e.proxy.Store(true)
	e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
		if r.target != "pd-1" {
			return nil, errors.New("not leader")
		}
		asked[r.via].Add(1)
		if silent(r.via) {
			return e.stream(ctx, newFakeStream(r.via))
		}
		return e.stream(ctx, newEchoStream(r.via, &e.oracle))
	}
	return e, asked
}

// over returns the members that the lane's requests go to.
func over(l *lane) []string { return l.dialed.Load().members() }

func TestSilentMemberHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(via string) bool { return via == "pd-2" })
		l := startLane(t, e)
		began := time.Now()
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.Less(t, time.Since(began), 10*time.Millisecond)
		require.Equal(t, []string{"pd-1"}, over(l))

		time.Sleep(e.timeout + time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"pd-1", "pd-3"}, over(l))
		require.Zero(t, e.stats.suspicions.Load())
	})
}

// A member that answers the first question of a stream and no other is left out, like one
// that answers none.
func TestMemberThatAnswersOnceHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(string) bool { return false })
		open := e.open
		e.open = func(ctx context.Context, dc string, r route) (tsoStream, error) {
			s, err := open(ctx, dc, r)
			if r.via != "pd-2" || err != nil {
				return s, err
			}
			return &answersOnce{tsoStream: s}, nil
		}
		l := startLane(t, e)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"pd-1", "pd-3"}, over(l))
	})
}

// answersOnce is a stream that answers its first request only.
type answersOnce struct {
	tsoStream
	asked int
}

func (a *answersOnce) Send(count uint32) error {
	if a.asked++; a.asked > 1 {
		return nil
	}
	return a.tsoStream.Send(count)
}

func TestMemberThatIsSilentForLongIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		e, asked := wideEnv(func(via string) bool { return via == "pd-2" && !healed.Load() })
		l := startLane(t, e)
		time.Sleep(time.Minute)
		before := asked["pd-2"].Load()
		require.LessOrEqual(t, before, int64(10))
		time.Sleep(time.Hour)
		require.InDelta(t, 58, asked["pd-2"].Load()-before, 3)
		require.EqualValues(t, 1, e.stats.streams.Load()-1, "a stream over the same members takes no stream's place")

		healed.Store(true)
		time.Sleep(maxWidenPause + 2*e.timeout)
		synctest.Wait()
		require.Equal(t, []string{"pd-1", "pd-2", "pd-3"}, over(l))
	})
}

// A member that the list comes to name is asked too, without a call that waits for it,
// and others that are slow at that moment do not lose their share.
func TestSpreadGrowsBesideTheStreamThatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		e, _ := wideEnv(func(via string) bool { return late.Load() && via != "pd-3" })
		var listed atomic.Pointer[[]string]
		e.members = func() []string { return *listed.Load() }
		two, all := []string{"pd-1", "pd-2"}, []string{"pd-1", "pd-2", "pd-3"}
		listed.Store(&two)
		l := startLane(t, e)
		synctest.Wait()
		require.Equal(t, two, over(l))
		streams := e.stats.streams.Load()

		late.Store(true)
		listed.Store(&all)
		l.membersChanged()
		time.Sleep(e.timeout + time.Millisecond)
		synctest.Wait()
		require.Equal(t, two, over(l), "two members have not been given up for one")
		require.Equal(t, streams, e.stats.streams.Load())

		late.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, all, over(l))
	})
}

// Requests are spread also where the leader takes them from other members only.
func TestSpreadWithoutAWayToTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(via string) bool { return via == "pd-1" })
		l := startLane(t, e)
		r := pushNew(t, l, context.Background())
		_, _, err := r.Wait()
		require.NoError(t, err)
		require.Equal(t, []string{"pd-2", "pd-3"}, over(l))
	})
}

// A pause that is about one member holds up nobody when the others' stream has ended.
func TestSpreadThatHasEndedIsMadeAnewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(via string) bool { return via == "pd-2" })
		l := startLane(t, e)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"pd-1", "pd-3"}, over(l))
		l.dialed.Load().cancel(io.EOF)
		synctest.Wait()
		require.Equal(t, []string{"pd-1"}, over(l))
		time.Sleep(e.timeout + time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"pd-1", "pd-3"}, over(l))
	})
}

func TestSpreadLeavesAMemberThatWasRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(string) bool { return false })
		var listed atomic.Pointer[[]string]
		e.members = func() []string { return *listed.Load() }
		two, all := []string{"pd-1", "pd-2"}, []string{"pd-1", "pd-2", "pd-3"}
		listed.Store(&all)
		l := startLane(t, e)
		synctest.Wait()
		require.Equal(t, all, over(l))
		listed.Store(&two)
		l.membersChanged()
		synctest.Wait()
		require.Equal(t, two, over(l))
	})
}

// While no member answers, the turns are kept for when one does.
func TestSpreadToATargetThatIsGoneIsTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		e, asked := wideEnv(func(string) bool { return !healed.Load() })
		l := startLane(t, e)
		time.Sleep(30 * time.Second)
		require.LessOrEqual(t, asked["pd-3"].Load(), int64(3))
		healed.Store(true)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		time.Sleep(2*e.timeout + time.Second)
		synctest.Wait()
		require.Equal(t, []string{"pd-1", "pd-2", "pd-3"}, over(l))
	})
}

// What members answer after the switch has been turned off moves no stream.
func TestSwitchTurnedOffWhileMembersAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(via string) bool { return via == "pd-2" })
		l := startLane(t, e)
		synctest.Wait()
		before := l.current.Load()
		e.proxy.Store(false)
		l.membersChanged()
		time.Sleep(time.Hour)
		require.True(t, before == l.current.Load())
	})
}
