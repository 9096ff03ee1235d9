package tso

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// With Local TSO, a PD leader whose allocators are not there yet says so, and sleeps over
// requests that come a little before they are: those behind them are answered first.
func TestLeaderThatSaysItIsNotReadyIsAskedAgainWhileItSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		e.members = func() []string { return []string{"pd-1", "pd-2", "pd-3"} }
		notReady := status.Error(codes.Unknown, "generate timestamp failed, global tso allocator maximum number of retries exceeded")
		began := time.Now()
		const sleepy, ready = 700 * time.Millisecond, 1200 * time.Millisecond
		e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
			age := time.Since(began)
			switch {
			case r.via != "pd-1":
				return nil, status.Error(codes.Unknown, "not leader")
			case age < sleepy:
				s := newFakeStream(r.via)
				s.answers <- fakeAnswer{err: notReady}
				return e.stream(ctx, s)
			case age < ready:
				return e.stream(ctx, newFakeStream(r.via))
			default:
				return e.stream(ctx, newEchoStream(r.via, &e.oracle))
			}
		}
		l := startLane(t, e)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.Less(t, time.Since(began), ready+2*rescuePause)
	})
}

// A lane that knows of nobody who will serve asks all others at first, and then one of
// them each round.
func TestOthersAreAskedInTurn(t *testing.T) {
	others := []string{"pd-2", "pd-3", "pd-4"}
	require.Equal(t, others, inTurn(0, others, 1, false))
	asked := make(map[string]int)
	for round := 1; round <= 3*othersEvery; round++ {
		one := inTurn(round, others, 1, false)
		require.Len(t, one, 1)
		asked[one[0]]++
	}
	require.Equal(t, map[string]int{"pd-2": 4, "pd-3": 4, "pd-4": 4}, asked)

	clear(asked)
	for round := 1; round <= 3*othersEvery; round++ {
		for _, m := range inTurn(round, others, 1, true) {
			asked[m]++
		}
	}
	require.Equal(t, map[string]int{"pd-2": 1, "pd-3": 1, "pd-4": 1}, asked)
	require.Equal(t, []string{"pd-3", "pd-4"}, inTurn(2, others, 2, false)[:2:2])
	require.Equal(t, others, inTurn(7, others, 3, false))
	require.Empty(t, inTurn(5, nil, 1, false))
}

// triesOf returns what a round tries, in no order.
func triesOf(l *lane, round int, doubted string, silent ...string) map[try]bool {
	all := make(map[try]bool)
	isSilent := func(m string) bool { return slices.Contains(silent, m) }
	for _, t := range l.tries(outlook{round: round, doubted: doubted, silent: isSilent, dialed: isSilent}) {
		t.instead = false
		all[t] = true
	}
	return all
}

func TestTries_GoWhereAnAnswerMayCome(t *testing.T) {
	e := newFakeEnv(nil)
	defer e.wheel.Close()
	e.members = func() []string { return []string{"pd-1", "pd-2", "pd-3"} }
	down := ""
	e.reachable = func(url string) bool { return url != down }
	l := newLane(globalDC, e.laneEnv)
	asked, dialed := func(m string) try { return try{route: direct(m)} }, func(m string) try { return try{route: direct(m), fresh: true} }

	require.Equal(t, map[try]bool{asked("pd-1"): true, asked("pd-2"): true, asked("pd-3"): true}, triesOf(l, 0, ""))
	require.Equal(t, map[try]bool{dialed("pd-1"): true, asked("pd-2"): true}, triesOf(l, 2, "pd-1"))
	require.Equal(t, map[try]bool{asked("pd-1"): true, asked("pd-2"): true}, triesOf(l, 2, "pd-3"),
		"the doubt is about another member's connection")
	require.Equal(t, map[try]bool{asked("pd-1"): true, asked("pd-3"): true}, triesOf(l, 2, "", "pd-3"),
		"who says nothing may be sleeping over the question, and is asked again; others seldom")
	require.Equal(t, map[try]bool{dialed("pd-1"): true, asked("pd-1"): true, asked("pd-2"): true}, triesOf(l, 2, "pd-1", "pd-1"),
		"who does not answer on a new connection is asked on the other one too")
	down = "pd-2"
	require.Equal(t, map[try]bool{asked("pd-1"): true, asked("pd-3"): true}, triesOf(l, 0, ""))
	down = "pd-1"
	require.Equal(t, map[try]bool{dialed("pd-1"): true, asked("pd-2"): true}, triesOf(l, 2, ""))
}

// PD puts requests of all dc-locations that it passes on to a member into one RPC.
func TestTries_OfADCLocationGoToItsMemberOnly(t *testing.T) {
	e := newFakeEnv(nil)
	defer e.wheel.Close()
	e.forwarding = true
	e.members = func() []string { return []string{"pd-1", "pd-2"} }
	through := try{route: route{target: "pd-1", via: "pd-2"}, fresh: true}
	require.Contains(t, triesOf(newLane(globalDC, e.laneEnv), 0, "pd-1"), through)
	require.NotContains(t, triesOf(newLane("dc-1", e.laneEnv), 0, "pd-1"), through)
}
