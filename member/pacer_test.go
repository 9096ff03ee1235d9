package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPacer_NeverMoreThanTenASecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p pacer
		now := time.Unix(1_000_000, 0)
		var started []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "rounds") {
			wait := p.next(now)
			require.GreaterOrEqual(t, wait, time.Duration(0))
			require.LessOrEqual(t, wait, maxBackoff*12/10)
			now = now.Add(wait)
			p.begin(now)
			started = append(started, now)
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "took")) * time.Millisecond)
			p.end(now, rapid.Bool().Draw(t, "news"))
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "idle")) * time.Millisecond)
		}
		for i := range started {
			if i >= burst {
				require.GreaterOrEqual(t, started[i].Sub(started[i-burst]), refill)
			}
			if i >= burst+9 {
				require.GreaterOrEqual(t, started[i].Sub(started[i-burst-9]), time.Second)
			}
		}
	})
}

func TestPacer_BackoffDoublesAndEnds(t *testing.T) {
	var p pacer
	now := time.Unix(1_000_000, 0)
	round := func(news bool) time.Duration {
		wait := p.next(now)
		now = now.Add(wait)
		p.begin(now)
		p.end(now, news)
		return wait
	}
	require.Zero(t, round(false))
	for want := minBackoff; want < maxBackoff; want *= 2 {
		got := round(false)
		require.InDelta(t, float64(want), float64(got), float64(want)/4)
	}
	require.InDelta(t, float64(maxBackoff), float64(round(true)), float64(maxBackoff)/4)
	require.Zero(t, round(false), "news end the back-off")
	require.NotZero(t, round(false))

	for range 10 {
		round(false)
	}
	now = now.Add(time.Minute)
	require.Zero(t, round(false))
	require.Less(t, p.next(now), 2*minBackoff, "a quiet time ends it as well")
}
