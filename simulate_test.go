package tso

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The simulation: real clients (lanes, members, wheel, grpc-go) and a scripted PD
// in one testing/synctest bubble per seed, so that minutes of faults take some
// milliseconds. Callers of all kinds are at work while a nemesis breaks what it can;
// then everything is healed, and what the callers saw is held against the contract.
//
// # What a seed decides
//
// Everything that is planned: the cluster, the options, which fault comes when and
// where, when callers call and what limits they set. All that happens at fake times,
// which do not depend on the machine. Not seeded is what Go decides: which of several
// goroutines that can run at the same fake instant runs first, the choices of select,
// the order of maps, and the jitter of back-offs (gRPC's and ours). So a seed replays
// with the same events at the same times, most failures come again at once, and those
// that depend on an interleaving may take some tries: make simulate SEED=n TRIES=100.
var (
	simSeeds = flag.Int("simulate.seeds", 0, "how many seeds TestSimulate runs (default: few under the race detector, else a hundred or more)")
	simStart = flag.Uint64("simulate.start", 1, "the first seed of TestSimulate")
	simTries = flag.Int("simulate.tries", 1, "how often TestSimulate runs each seed")
)

// simHangs is how long a seed may take of real time. Its fake time stands still while
// a goroutine waits for a mutex or spins; this is what notices.
const simHangs = time.Minute

func TestSimulate(t *testing.T) {
	seeds := *simSeeds
	switch {
	case seeds > 0:
	case raceEnabled || testing.Short():
		seeds = 15
	case strconv.IntSize == 32: // the same code, where every 64-bit atomic is a call
		seeds = 100
	default:
		seeds = 400
	}
	sum := newSimSummary()
	t.Cleanup(func() {
		if *simSeeds > 0 {
			_, _ = fmt.Fprintln(os.Stdout, sum)
		}
	})
	for i := range uint64(seeds) {
		for try := range *simTries {
			seed := *simStart + i
			t.Run(fmt.Sprintf("seed=%d/try=%d", seed, try+1), func(t *testing.T) {
				t.Parallel()
				watchdog := time.AfterFunc(simHangs, func() { simPanic(seed) })
				defer watchdog.Stop()
				synctest.Test(t, func(t *testing.T) { simulate(t, newSimPlan(seed), sum) })
				if t.Failed() {
					t.Logf("replay: make simulate SEED=%d", seed)
				}
			})
		}
	}
}

// A seed must replay the same events: the story of a failure is worth nothing
// otherwise.
func TestSimulateReplaysItsEvents(t *testing.T) {
	for _, seed := range []uint64{3, 5, 8, 13} {
		var stories [3][]string
		for i := range stories {
			synctest.Test(t, func(t *testing.T) { stories[i] = simulate(t, newSimPlan(seed), newSimSummary()) })
		}
		require.NotEmpty(t, stories[0])
		require.Equal(t, stories[0], stories[1])
		require.Equal(t, stories[0], stories[2])
	}
}

// simPanic ends the process with the stacks of all goroutines: those of a bubble
// whose clock stands still cannot be ended otherwise.
func simPanic(seed uint64) {
	panic(fmt.Sprintf("seed %d takes more than %v of real time: its clock stands still\n%s", seed, simHangs, simStacks()))
}

func simStacks() []byte {
	buf := make([]byte, 4<<20)
	return buf[:runtime.Stack(buf, true)]
}
