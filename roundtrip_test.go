package tso

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoundTrip_IsTheShortestOfLate(t *testing.T) {
	const ms, window = int64(time.Millisecond), int64(rttWindow)
	var r roundTrip
	now := window * 5
	require.Equal(t, 3*ms, r.add(3*ms, now))
	require.Equal(t, 2*ms, r.add(2*ms, now+1))
	require.Equal(t, 2*ms, r.add(9*ms, now+2), "a queue is no distance")
	require.Equal(t, 2*ms, r.add(9*ms, now+window), "the window before counts")
	require.Equal(t, 1*ms, r.add(1*ms, now+window+1))
	require.Equal(t, 1*ms, r.add(9*ms, now+2*window))
	require.Equal(t, 9*ms, r.add(9*ms, now+3*window), "the path has become longer")
}
