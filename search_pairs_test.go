package tso

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The pairs of a search, as lane_pairs_test.go has those of the pipeline: what is published, what
// is looked at after that, and the tests that fail when the two are swapped, or one is left out.
//
//	published                                looked at after that     test
//	offered (cutOver)                        dialed                   TestAttemptThatBeginsDuringACutOverEnds
//	dialed (connect)                         offered                  TestWinnerOfferedDuringAConnectIsTaken
//	both                                     both                     TestWinnerRacesTheNextStream
//	no suspicion, by one of two that end it  (who has ended it)       TestAnswerRacesTheTryThatWins, TestWinAfterTheAnswerIsDropped

// winner returns a stream that has proved itself, and stays good however long the test is held up.
func winner(l *lane) *attempt {
	return &attempt{
		route: direct("pd-1"), stream: taker{newFakeStream("pd-1")}, listed: "pd-1",
		proved: l.env.now() + int64(time.Hour), cancel: func(error) {},
	}
}

// opener is a lane that does not run, and what it opens.
type opener struct {
	*lane
	opening context.Context // of the last stream, nil for none
}

func newOpener(t *testing.T) *opener {
	o := &opener{lane: still(t)}
	o.env.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
		o.opening = ctx
		return taker{newFakeStream(r.via)}, nil
	}
	return o
}

// goesOnWith reports whether the lane goes on with a stream that has won: that is what connect has
// returned, or what it was about to return has ended, so that the lane looks again.
func (o *opener) goesOnWith(won, next *attempt) bool {
	return next == won || o.opening != nil && errors.Is(context.Cause(o.opening), errCutOver)
}

// What is offered takes the place of what was offered before, which ends. Meanwhile another
// attempt begins.
func TestAttemptThatBeginsDuringACutOverEnds(t *testing.T) {
	o := newOpener(t)
	var next *attempt
	before, won := winner(o.lane), winner(o.lane)
	before.cancel = func(error) {
		var err error
		next, err = o.connect(o.ctx)
		require.NoError(t, err)
	}
	o.cutOver(before)
	o.cutOver(won)
	require.NotNil(t, next)
	require.True(t, o.goesOnWith(won, next), "a stream that answers is left waiting for one that does not")
	require.Same(t, won, o.takeProved())
}

// A lane has found nothing offered, and looks where to open a stream. Meanwhile another one wins.
func TestWinnerOfferedDuringAConnectIsTaken(t *testing.T) {
	o := newOpener(t)
	won := winner(o.lane)
	target, offered := o.env.target, false
	o.env.target = func(dc string) string {
		if !offered {
			offered = true
			o.cutOver(won)
		}
		return target(dc)
	}
	next, err := o.connect(o.ctx)
	require.NoError(t, err)
	require.True(t, offered)
	require.True(t, o.goesOnWith(won, next), "a stream that answers is left waiting for one that does not")
}

func TestWinnerRacesTheNextStream(t *testing.T) {
	o := newOpener(t)
	var won, next *attempt
	var err error
	require.True(t, race(func() {
		o.takeProved()
		o.dialed.Store(nil)
		o.env.pace = &pacer{}
		o.opening, won = nil, winner(o.lane)
	}, func() {
		next, err = o.connect(o.ctx)
	}, func() {
		o.cutOver(won)
	}, func() bool {
		if err != nil {
			t.Error(err)
			return false
		}
		good := o.goesOnWith(won, next)
		next.cancel(nil)
		return good
	}), "a stream that answers is left waiting for one that does not")
}

// An answer and a try that wins both end the suspicion, and only one of them does.
func TestAnswerRacesTheTryThatWins(t *testing.T) {
	l := still(t)
	s, won := l.newSuspicion(), winner(l)
	r, trusted := newSearch(l, s), false
	defer r.leave()
	require.True(t, race(func() {
		l.suspicion.Store(s)
		r.served = ""
	}, func() {
		r.win(won)
	}, func() {
		trusted = l.suspicion.CompareAndSwap(s, nil) // as trust does
	}, func() bool {
		found := r.served != ""
		return trusted != found && found == (l.takeProved() == won) && l.suspicion.Load() == nil
	}), "the stream has answered, and is left nevertheless")
}

func TestWinAfterTheAnswerIsDropped(t *testing.T) {
	l := still(t)
	s, won := l.newSuspicion(), winner(l)
	r := newSearch(l, s)
	var dropped error
	won.cancel = func(cause error) { dropped = cause }
	l.trust(s)
	next := l.newSuspicion() // which is another search's
	r.win(won)
	require.Equal(t, errCutOver, dropped)
	require.Empty(t, r.served)
	require.Empty(t, l.proved)
	require.Same(t, next, l.suspicion.Load())
	next.cancel()
}
