package tso

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// withBits is an answer of a cluster whose timestamps have suffix bits.
func withBits(ts uint64, bits uint32) fakeAnswer {
	response := granting(ts, 1)
	response.SuffixBits = bits
	return fakeAnswer{response: response}
}

func TestTimestampsWithoutTheSuffixOfBeforeAreNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		r := pushNew(t, l, context.Background())
		<-s.sent
		s.answers <- withBits(base, 2)
		requireTS(t, base, r)

		r = pushNew(t, l, context.Background())
		<-s.sent
		for range 5 { // more than bad answers need to surface
			s.answers <- withBits(base+1000, 0)
			<-s.closed
			s = <-ss.opened
			<-s.sent
		}
		require.Equal(t, base, l.high.ts)
		s.answers <- withBits(base+4, 2)
		requireTS(t, base+4, r)
		require.Zero(t, e.stats.badAnswers.Load())
	})
}

func TestSuffixThatIsGoneForGoodIsBelievedAfterAWhile(t *testing.T) {
	now := int64(time.Hour)
	s := suffix{}
	believe := func(bits uint32) bool { return s.believe(bits, "pd-1", now) }
	require.True(t, believe(3))
	require.False(t, believe(0))
	now += int64(suffixGrace) - 1
	require.False(t, believe(2))
	require.True(t, believe(3), "they are back")
	require.False(t, believe(0), "another time")
	now += int64(suffixGrace)
	require.False(t, s.believe(0, "pd-2", now), "another leader that has just been elected")
	now += int64(suffixGrace)
	require.False(t, believe(0))
	now += int64(suffixGrace)
	require.True(t, believe(0))
	require.True(t, believe(0))
	require.True(t, believe(1))
}
