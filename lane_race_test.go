package tso

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/internal/wire"
)

// The tests of this file race the two sides of a pair against each other, where no test
// that goes step by step can come in between; see lane_pairs_test.go for the pairs.

// taker is a stream that takes any number of requests and answers none.
type taker struct{ *fakeStream }

func (taker) Send(uint32) error { return nil }

// inFlight gives the lane, which does not run, another stream with a request in flight, and
// returns both.
func inFlight(l *lane) (*flight, *request) {
	f := newFlight(&attempt{route: direct("pd-1"), stream: taker{newFakeStream("pd-1")}})
	r := l.env.requests.get(context.Background())
	b := l.newBatch()
	b.Fill(func(room []*request) int { room[0] = r; return 1 })
	f.add(b, 1, l.env.now(), 0, l.expiryOf(b))
	l.adopted = f
	l.setCurrent(f)
	return f, r
}

// still returns a lane that does not run, and whose ticks do not come.
func still(t *testing.T) *lane {
	e := newFakeEnv(nil)
	e.wheel.Close()
	l := newLane(globalDC, e.laneEnv)
	withoutTicks(l)
	t.Cleanup(l.stop)
	return l
}

// summoned waits for a summons of the lane, which has no attendant.
func summoned(l *lane) { <-l.due }

// Who is summoned finds what for.
func TestSummonsRaceWhatTheyAreFor(t *testing.T) {
	l, found := still(t), false
	require.True(t, race(func() { l.flush.Store(false) }, l.onLinger, func() {
		summoned(l)
		found = l.flush.Load()
	}, func() bool { return found }), "the batch interval has not ended yet")
	require.True(t, race(func() { l.sweepDue.Store(false) }, l.onTick, func() {
		summoned(l)
		found = l.sweepDue.Load()
	}, func() bool { return found }), "nothing is to be swept yet")
}

// A failure is for all that was sent before it, also for what the holder of the seat has not
// taken back yet.
func TestFailureRacesTheHolderOfTheSeat(t *testing.T) {
	l := still(t)
	var r *request
	require.True(t, race(func() { _, r = inFlight(l) }, l.serve, func() {
		l.current.Store(nil) // as when the stream ends
		l.surface.Store(&errPlanted)
	}, func() bool {
		l.serve() // what has been demanded meanwhile
		return r.word.Load() == stateFailed
	}), "a call is not told")
}

// A push that finds the flight full is seen by whoever makes room in it.
func TestAnswerRacesAPush(t *testing.T) {
	l := still(t)
	l.env.inFlight.Store(1)
	var f *flight
	physical := int64(1000)
	require.True(t, race(func() { f, _ = inFlight(l) }, func() {
		physical++
		answer := wire.Response{Count: 1, HasTime: true, Physical: physical, ClusterID: fakeCluster}
		if err := l.answer(f, &answer); err != nil {
			t.Error(err)
		}
	}, func() {
		if err := l.push(context.Background(), l.env.requests.get(context.Background())); err != nil {
			t.Error(err)
		}
	}, func() bool { return l.ring.Len() == 0 }), "a request waits though there is room")
}
