package tso

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const year = 365 * 24 * time.Hour

// recent is a timestamp of this century.
var recent = later(base, 40*year)

// later returns the timestamp d after ts.
func later(ts uint64, d time.Duration) uint64 { return ts + uint64(d.Milliseconds())<<logicalBits }

func TestMarkCoversTheTimeSinceAndADay(t *testing.T) {
	m := mark{ts: ComposeTS(2*neverSet, 7), at: int64(time.Minute)}
	physical := func(d time.Duration) int64 { return 2*neverSet + d.Milliseconds() }
	for _, tc := range []struct {
		ahead, since time.Duration
		want         bool
	}{
		{-year, 0, true},
		{0, 0, true},
		{25 * time.Hour, 0, true},
		{25*time.Hour + time.Millisecond, 0, false},
		{25*time.Hour + time.Minute, time.Minute, true},
		{25*time.Hour + time.Minute + time.Millisecond, time.Minute, false},
		{100 * year, 100 * year, true},
		{101 * year, 100 * year, false},
	} {
		require.Equal(t, tc.want, m.covers(physical(tc.ahead), m.at+int64(tc.since)), "%v after %v", tc.ahead, tc.since)
	}
	require.True(t, mark{}.covers(1<<46-1, 0), "the first answer says anything")
	require.True(t, mark{ts: ComposeTS(1000, 0)}.covers(neverSet, 0), "so does the one after a clock that was not set")
	require.False(t, mark{ts: ComposeTS(neverSet, 0)}.covers(2*neverSet, 0))
	require.False(t, m.covers(1<<46-1, m.at))
}

func TestJumpIsBelievedWhenTheLeaderInsists(t *testing.T) {
	const far = int64(1) << 40
	for name, tc := range map[string]struct {
		physical int64
		url      string
		after    time.Duration
		want     bool
	}{
		"the same for long enough": {far + 10_000, "pd-1", 10 * time.Second, true},
		"a little later":           {far + 60_000, "pd-1", 30 * time.Second, true},
		"too soon":                 {far + 9_999, "pd-1", 10*time.Second - 1, false},
		"who is no leader":         {far + 10_000, "", 10 * time.Second, false},
		"another leader":           {far + 10_000, "pd-2", 10 * time.Second, false},
		"another time, before":     {far - 1, "pd-1", 10 * time.Second, false},
		"another time, far after":  {far + year.Milliseconds(), "pd-1", 10 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			var j jump
			now := int64(time.Hour)
			require.False(t, j.believe(far, now, "pd-1"))
			now += int64(tc.after)
			require.Equal(t, tc.want, j.believe(tc.physical, now, tc.url))
			if !tc.want && tc.url != "" {
				require.True(t, j.believe(tc.physical+10_000, now+int64(farGrace), tc.url), "the first of another series, or this one")
			}
		})
	}
}

// answerNext answers the lane's next request, on whichever stream it comes.
func answerNext(t *testing.T, ss *streams, s **fakeStream, ts uint64) {
	t.Helper()
	for {
		select {
		case <-(*s).sent:
			(*s).grant(ts, 1)
			return
		case <-(*s).closed:
			*s = <-ss.opened
		}
	}
}

func TestPhysicalTimeFarAheadIsABadAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		r := pushNew(t, l, context.Background())
		answerNext(t, ss, &s, recent)
		requireTS(t, recent, r)

		time.Sleep(year)
		r = pushNew(t, l, context.Background())
		for range 3 {
			answerNext(t, ss, &s, later(recent, year+26*time.Hour))
		}
		_, _, err := r.Wait()
		require.ErrorIs(t, err, ErrBadResponse)
		require.ErrorIs(t, err, errFarAhead)
		require.EqualValues(t, 3, e.stats.badAnswers.Load())
		require.Equal(t, recent, l.high.ts)

		for _, d := range []time.Duration{time.Second, 24 * time.Hour} {
			r = pushNew(t, l, context.Background())
			answerNext(t, ss, &s, later(recent, d))
			requireTS(t, later(recent, d), r)
		}
		require.Zero(t, e.stats.fallbacks.Load())
		require.Zero(t, e.stats.timeJumps.Load())
	})
}

func TestPhysicalTimeOfALeaderThatInsistsIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		logger, logged := observer.New(zapcore.ErrorLevel)
		e.log = zap.New(logger)
		l := startLane(t, e)
		s := <-ss.opened
		r := pushNew(t, l, context.Background())
		answerNext(t, ss, &s, recent)
		requireTS(t, recent, r)

		began, jumped := time.Now(), later(recent, year)
		for err := error(nil); ; {
			r = pushNew(t, l, context.Background())
			done := make(chan error, 1)
			go func() {
				_, _, err := r.Wait()
				done <- err
			}()
			for waiting := true; waiting; {
				select {
				case <-s.sent:
					s.grant(later(jumped, time.Since(began)), 1)
				case <-s.closed:
					s = <-ss.opened
				case err = <-done:
					waiting = false
				}
			}
			if err == nil {
				break
			}
			require.ErrorIs(t, err, errFarAhead)
			time.Sleep(time.Second)
		}
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second)
		require.Less(t, time.Since(began), 13*time.Second)
		require.EqualValues(t, 1, e.stats.timeJumps.Load())
		require.Equal(t, 1, logged.Len())
		require.GreaterOrEqual(t, l.high.ts, jumped)

		r = pushNew(t, l, context.Background())
		answerNext(t, ss, &s, later(jumped, time.Minute))
		requireTS(t, later(jumped, time.Minute), r)
	})
}

// Another member than the list names may be one that has lost its lead.
func TestNobodyButTheNamedLeaderIsBelieved(t *testing.T) {
	e := newFakeEnv(nil)
	defer e.wheel.Close()
	l := newLane(globalDC, e.laneEnv)
	l.dialed.Store(&attempt{route: route{target: "pd-1", via: "pd-2"}})
	require.Equal(t, "pd-1", l.namedLeader(), "also through another member")
	e.moveTo("pd-2")
	require.Empty(t, l.namedLeader())
}

// All scopes of a cluster have the same time.
func TestFirstAnswerOfAScopeIsHeldAgainstTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		far := later(recent, 100*year)
		r := pushNew(t, l, context.Background())
		answerNext(t, ss, &s, far) // the first of the client says anything
		requireTS(t, far, r)

		dc := newLane("dc-1", e.laneEnv)
		e.run(t, dc)
		defer l.close(ErrClosed) // before the lanes are waited for
		s = <-ss.opened
		time.Sleep(time.Hour)
		r = pushNew(t, dc, context.Background())
		answerNext(t, ss, &s, later(far, 27*time.Hour))
		answerNext(t, ss, &s, later(far, 25*time.Hour))
		requireTS(t, later(far, 25*time.Hour), r)
		require.EqualValues(t, 1, e.stats.badAnswers.Load())
	})
}
