package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tsoring/tso/integration/faults"
)

// requireRidden lets a fault happen to a client under load, and fails t if the
// client adds more to it than three times its target, shows an error to a caller, or
// violates an order.
func requireRidden(t *testing.T, row faults.Row) {
	t.Helper()
	result, err := faults.Run(t.Context(), row, faults.Config{
		Cluster: broken.use(t),
		Clients: []string{faults.Ours},
		Log:     zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)),
	})
	require.NoError(t, err)
	for _, o := range result.Clients {
		t.Logf("floors %v, added %v (over %v after the fault), longest call %v, %d calls, the machine added %v",
			result.Floors, o.Adds, o.At, o.Longest, o.Calls, result.Machine)
	}
	require.Empty(t, result.Missed(3, roomForPD))
}

// roomForPD is what a PD process has been seen to add without a fault, on two processors
// that have other work too.
const roomForPD = 100 * time.Millisecond

// What lasts for a while in these tests lasts longer in `make faults`.
const (
	frozenFor  = 4 * time.Second // more than an election takes
	pathCutFor = 3 * time.Second
)

var (
	forwarding    = faults.Options{Forwarding: true}
	followerProxy = faults.Options{FollowerProxy: true}
)

func TestFault_LeaderTransferred(t *testing.T) { requireRidden(t, faults.LeaderTransferred()) }

func TestFault_LeaderResigned(t *testing.T) { requireRidden(t, faults.LeaderResigned()) }

func TestFault_LeaderTerminated(t *testing.T) { requireRidden(t, faults.LeaderTerminated()) }

func TestFault_LeaderKilled(t *testing.T) { requireRidden(t, faults.LeaderKilled()) }

func TestFault_LeaderFrozen(t *testing.T) { requireRidden(t, faults.LeaderFrozen(frozenFor)) }

func TestFault_AllRestarted(t *testing.T) { requireRidden(t, faults.AllRestarted()) }

func TestFault_AllReaddressed(t *testing.T) { requireRidden(t, faults.AllReaddressed()) }

func TestFault_ConnectionDead(t *testing.T) { requireRidden(t, faults.ConnectionDead()) }

func TestFault_EverythingReset(t *testing.T) { requireRidden(t, faults.EverythingReset()) }

func TestFault_PathHeld(t *testing.T) {
	requireRidden(t, faults.PathHeld(pathCutFor, faults.Options{}))
}

func TestFault_PathRefused(t *testing.T) {
	requireRidden(t, faults.PathRefused(pathCutFor, faults.Options{}))
}

func TestFault_PathDropped(t *testing.T) {
	requireRidden(t, faults.PathDropped(pathCutFor, faults.Options{}))
}

func TestFault_PathHeldWithForwarding(t *testing.T) {
	requireRidden(t, faults.PathHeld(pathCutFor, forwarding))
}

func TestFault_PathRefusedWithForwarding(t *testing.T) {
	requireRidden(t, faults.PathRefused(pathCutFor, forwarding))
}

func TestFault_PathDroppedWithForwarding(t *testing.T) {
	requireRidden(t, faults.PathDropped(pathCutFor, forwarding))
}

func TestFault_LeaderTransferredWithFollowerProxy(t *testing.T) {
	requireRidden(t, faults.LeaderTransferred().With("follower proxy", followerProxy))
}

func TestFault_LeaderKilledWithFollowerProxy(t *testing.T) {
	requireRidden(t, faults.LeaderKilled().With("follower proxy", followerProxy))
}
