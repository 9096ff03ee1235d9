package tso

import (
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
		if wait, ok := p.reserveTry(now, try{fresh: true}); ok {
			require.LessOrEqual(t, wait, maxTryWait)
			taken++
		}
	}
	require.InDelta(t, 60*second/int64(allRate.interval)+int64(allRate.burst), taken, 5)
	require.LessOrEqual(t, p.reserve(60*second, true), maxTryWait+allRate.interval)
}
