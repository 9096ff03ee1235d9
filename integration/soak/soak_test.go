package soak

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tsoring/tso/integration/pdcluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is the pace of the runs here.
var quick = pace{
	settling:   500 * time.Millisecond,
	warmUp:     500 * time.Millisecond,
	quietFor:   200 * time.Millisecond,
	quietEvery: time.Hour,
	patience:   3 * time.Second,
	lingers:    2 * time.Second,
}

// lines writes what a run tells to a test.
type lines struct{ t *testing.T }

func (l lines) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// soaked runs for a short time, with something planted.
func soaked(t *testing.T, c *pdcluster.Cluster, plants ...string) *Verdict {
	t.Helper()
	return soakedAt(t, quick, c, plants...)
}

func soakedAt(t *testing.T, at pace, c *pdcluster.Cluster, plants ...string) *Verdict {
	t.Helper()
	v, err := Run(t.Context(), Config{
		Cluster: c, Duration: 3 * time.Second, Seed: 1, Callers: 200, Rate: 3000,
		Only: []string{"reset"}, Calm: 500 * time.Millisecond, Out: lines{t}, Plant: plants, pace: at,
	})
	require.NoError(t, err)
	t.Log(v)
	return v
}

// examples returns the examples of one kind of finding.
func (v *Verdict) examples(kind string) string {
	var b strings.Builder
	for _, e := range v.Examples {
		if strings.HasPrefix(e, kind+": ") {
			b.WriteString(e + "\n")
		}
	}
	return b.String()
}

// Each thing that a verdict can fail for, planted, makes it fail for that; and nothing
// planted passes.
func TestRun_SeesWhatIsPlanted(t *testing.T) {
	cluster := pdcluster.StartT(t, pdcluster.Config{Members: 3, Fast: true, Paths: true})
	t.Run("nothing", func(t *testing.T) {
		v := soaked(t, cluster)
		require.True(t, v.Pass())
		require.NotZero(t, v.Faults["all connections reset"])
		require.Contains(t, v.String(), "PASS")
	})
	t.Run("wrong timestamps and errors", func(t *testing.T) {
		v := soaked(t, cluster, plantOld, plantInversion, plantError, plantBudget)
		require.False(t, v.Pass())
		for _, kind := range []string{"order", "duplicate", "creation order", "forbidden error"} {
			require.NotZero(t, v.Found[kind], kind)
			require.NotEmpty(t, v.examples(kind), kind)
		}
		require.Contains(t, v.examples("forbidden error"), "transport is closing")
		require.Contains(t, v.examples("forbidden error"), "budget is spent")
		require.Zero(t, v.Found["leak"])
		require.Contains(t, v.String(), "FAIL")
	})
	t.Run("leaks", func(t *testing.T) {
		// So many calls leave behind far more than what may be there at times, however
		// long they take.
		long := quick
		long.served = 10_000
		v := soakedAt(t, long, cluster, plantRoutine, plantHeap)
		require.Contains(t, v.examples("leak"), "goroutines grew")
		require.Contains(t, v.examples("leak"), "heap grew")
		require.Contains(t, v.examples("leak"), "all clients are closed")
		delete(v.Found, "leak")
		delete(v.Found, "late call") // the machine's
		require.Empty(t, v.Found)
	})
	t.Run("stuck callers", func(t *testing.T) {
		v := soaked(t, cluster, plantStuck)
		require.Contains(t, v.examples("late call"), "late")
		require.Contains(t, v.examples("stuck"), "told to stop")
		require.Contains(t, v.examples("stuck"), "clients were closed")
	})
}

func TestLongestClear(t *testing.T) {
	for _, c := range []struct {
		outs []span
		want int64
	}{
		{nil, 10},
		{[]span{{100, 105}}, 5},
		{[]span{{102, 104}}, 6},
		{[]span{{90, 101}, {107, endless}}, 6},
		{[]span{{104, 108}, {101, 105}}, 2},
		{[]span{{101, 109}, {103, 104}}, 1},
		{[]span{{90, endless}}, 0},
		{[]span{{80, 95}, {110, 120}}, 10},
	} {
		require.EqualValues(t, c.want, longestClear(c.outs, 100, 110), "%v", c.outs)
	}
}

// What comes and goes is no leak, what grows bit by bit is one.
func TestJudgeQuiets(t *testing.T) {
	found := func(goroutines func(i int) int) (n int) {
		var quiets []Reading
		for i := range 30 {
			quiets = append(quiets, Reading{Goroutines: goroutines(i)})
		}
		judgeQuiets(quiets, func(string, string, ...any) { n++ })
		return n
	}
	require.Zero(t, found(func(int) int { return 2000 }))
	require.Zero(t, found(func(i int) int { return 2000 + 100*(i%2) }))
	require.Equal(t, 1, found(func(i int) int { return 2000 + 3*i }))
}

func TestHistogram(t *testing.T) {
	var h histogram
	require.Zero(t, h.takeP99())
	for i := range 100 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	require.InEpsilon(t, 99*time.Millisecond, h.takeP99(), 0.07)
	require.Zero(t, h.takeP99(), "taken")
}

func TestGate(t *testing.T) {
	var g gate
	require.True(t, g.enter(t.Context()))
	var inside sync.WaitGroup
	inside.Go(func() { g.leave() })
	require.True(t, g.shut(t.Context()))
	inside.Wait()
	entered := make(chan struct{})
	go func() { g.enter(t.Context()); close(entered) }()
	select {
	case <-entered:
		t.Fatal("entered through a shut gate")
	default:
	}
	g.open()
	<-entered
}
