package tso

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// However many tries a lane in trouble makes, those that need a stream after it do
// not wait for turns that were taken for nothing.
func TestPacer_TriesLeaveNoDebt(t *testing.T) {
	p := &pacer{}
	second := int64(time.Second)
	taken := 0
	for now := int64(0); now < 60*second; now += second / 20 {
		if wait, ok := p.reserveTry(now, try{fresh: true}, &share{rate: laneRate}); ok {
			require.LessOrEqual(t, wait, maxTryWait+allRate.interval/4)
			taken++
		}
	}
	spare := perMinute(spareRate)
	require.InDelta(t, perMinute(allRate)+spare, taken, 6)
	for range firstRate.burst - spareRate.burst {
		require.True(t, p.reserveFirst(60*second), "not all of these are for tries")
	}
	wait, _ := p.reserve(60*second, true)
	require.LessOrEqual(t, wait, maxTryWait+allRate.interval)
}

// A search that finds nothing has taken no turn.
func TestPacer_SearchesThatFindNothingAreFree(t *testing.T) {
	p := &pacer{}
	for range 1000 {
		wait, giveBack, ok := p.reserveSearch(0)
		require.True(t, ok)
		require.Zero(t, wait)
		giveBack()
	}
	for range searchRate.burst + allRate.burst {
		wait, _, _ := p.reserveSearch(0)
		require.Zero(t, wait)
	}
	wait, giveBack, ok := p.reserveSearch(0)
	require.True(t, ok)
	require.NotZero(t, wait)
	giveBack()
	again, _, _ := p.reserveSearch(0)
	require.InDelta(t, wait, again, float64(allRate.interval/4))
}

// Whatever takes streams, there are 50 at once and no more than ten a second.
func TestPacer_AllTurnsTogether(t *testing.T) {
	p := &pacer{}
	turns := func(now int64) (n int) {
		for again := true; again; {
			_, _, search := p.reserveSearch(now)
			_, stream := p.reserve(now, true)
			first := p.reserveFirst(now)
			again = search || stream || first
			for _, ok := range []bool{search, stream, first} {
				if ok {
					n++
				}
			}
		}
		return n
	}
	second := int64(time.Second)
	waiting := int(maxTryWait / allRate.interval)
	require.Equal(t, searchRate.burst+allRate.burst+firstRate.burst+waiting, turns(0))
	n := 0
	for now := second; now <= 100*second; now += second / 10 {
		n += turns(now)
	}
	require.Less(t, n, 10*100)
	require.Greater(t, n, 9*100)
}

// Lanes in trouble together ask each at its own rate, as long as they are few, and all
// together at a rate that a PD which is down can bear.
func TestPacer_LanesHaveTheirOwnAsks(t *testing.T) {
	for lanes, want := range map[int]int{
		1:  perMinute(laneRate),
		3:  3 * perMinute(laneRate),
		32: perMinute(askRate),
	} {
		p, own := &pacer{}, slices.Repeat([]share{{rate: laneRate}}, lanes)
		taken := 0
		for now := int64(0); now < int64(time.Minute); now += int64(10 * time.Millisecond) {
			for i := range own {
				if _, ok := p.reserveTry(now, try{}, &own[i]); ok {
					taken++
				}
			}
		}
		require.InEpsilon(t, want, taken, 0.05, "%d lanes", lanes)
	}
}

func perMinute(r rate) int { return r.burst + int(time.Minute/r.interval) }

// A stream over all members takes all of its turns or none, so that it is never a
// stream over some of them for want of turns.
func TestPacer_SpreadsTakeAllOrNothing(t *testing.T) {
	p := &pacer{}
	for range spreadRate.burst / 6 {
		require.Zero(t, p.reserveSpread(0, 6))
	}
	wait := p.reserveSpread(0, 6)
	require.Equal(t, 6*spreadRate.interval, wait)
	require.Equal(t, wait, p.reserveSpread(0, 6), "a turn was taken")
	require.Equal(t, time.Millisecond, p.reserveSpread(int64(wait-time.Millisecond), 6))
	require.Zero(t, p.reserveSpread(int64(wait), 6))
	require.Zero(t, (&pacer{}).reserveSpread(0, 1000), "more members than turns")
}

// Lanes in trouble use up what they may. Those that have just lost their stream do not
// wait for them, and when they are many, they find a short line.
func TestPacer_LanesInTroubleDoNotHoldUpOthers(t *testing.T) {
	p := &pacer{}
	var next [32]int64 // when each lane in trouble asks again
	now := int64(0)
	for ; now < int64(10*time.Second); now += int64(time.Millisecond) {
		for i := range next {
			if now >= next[i] {
				wait, _ := p.reserve(now, true)
				next[i] = now + int64(wait)
			}
		}
	}
	_, ok := p.reserve(now, true)
	require.False(t, ok)
	for range firstRate.burst {
		require.True(t, p.reserveFirst(now))
	}
	wait, ok := p.reserve(now, false)
	require.True(t, ok)
	require.NotZero(t, wait)
	require.LessOrEqual(t, wait, maxTryWait+allRate.interval)
}
