package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A real crowd, though a small one: all that is measured of it is there, and fits together.
func TestRunCrowd(t *testing.T) {
	const count = 6
	o, err := RunCrowd(t.Context(), CrowdWithoutQuorum(count, 2, time.Second), Ours)
	require.NoError(t, err)
	t.Logf("%+v", o)
	require.Zero(t, o.Unserved)
	require.Zero(t, o.Errors, o.Messages)
	require.Empty(t, o.Violations)

	require.Positive(t, o.First)
	require.LessOrEqual(t, o.First, o.Half)
	require.LessOrEqual(t, o.Half, o.All)
	require.Less(t, o.All, crowdPatience)

	require.Positive(t, o.Opening)
	require.Greater(t, o.Memory, int64(3<<20), "three processes")
	require.Greater(t, o.PD, o.PDBefore)
	require.Positive(t, o.PDBefore)
	require.Greater(t, o.Clients, o.ClientsBefore)
	require.Positive(t, o.ClientsBefore)

	require.GreaterOrEqual(t, o.Calls, count)
	require.GreaterOrEqual(t, o.Requests[methodTso]*count, float64(o.Calls-count), "but for calls sent before")
	require.Positive(t, o.RPCs[methodGetMembers])
	require.GreaterOrEqual(t, o.RPCs[methodTso], 1.0, "no stream outlives the leader")
	require.GreaterOrEqual(t, o.Connects, 1.0, "no connection to it does")
}

// Watches that are told nothing cost memory, and those who hold them are not called.
func TestRunCrowd_OfWatches(t *testing.T) {
	o, err := RunCrowd(t.Context(), CrowdWatching(3, 2, 200*time.Millisecond), Watching)
	require.NoError(t, err)
	require.Zero(t, o.Calls)
	require.Zero(t, o.Errors, o.Messages)
	require.Positive(t, o.Opening)
	require.InDelta(t, 1, o.OpeningRPCs["/etcdserverpb.Watch/Watch"], 1e-9)
	require.Empty(t, o.RPCs, "all of them began before")
	require.Zero(t, o.Connects)
}

func TestGroup_ThatFails(t *testing.T) {
	p, err := startGroup(groupOrder{Client: "somebody", Count: 1, Pause: crowdPause})
	require.NoError(t, err)
	require.ErrorContains(t, p.ask(t.Context(), askOpened, &struct{}{}), `asked for "opened"`)
	require.ErrorContains(t, p.close(), "exit status 1")
}

// seen is a fault of a crowd of three at 0, after which members start at 10 s. The first is
// served at 12 s, and then nothing else happens until 20 s, but for what a test adds.
func seen(calls ...groupCall) *crowdHit {
	at := func(s int, pd, clients time.Duration) reading {
		return reading{int64(s) * int64(time.Second), pd, clients, int64(s) << 20}
	}
	h := &crowdHit{
		from: at(0, time.Second, 10*time.Second), begin: at(10, 3*time.Second, 11*time.Second), to: int64(20 * time.Second),
		after: []reading{
			at(11, 4*time.Second, 12*time.Second), at(13, 6*time.Second, 14*time.Second),
			at(15, 7*time.Second, 16*time.Second), at(19, 9*time.Second, 20*time.Second),
		},
		counts: counts{
			RPCs:     map[string]int64{methodGetMembers: 12, methodTso: 3, "/etcdserverpb.Watch/Watch": 6, "/else": 9},
			Requests: map[string]int64{methodTso: 30}, Connects: 18,
		},
	}
	h.calls = append([]groupCall{ok(0, -0.1, 0.1), ok(1, 0, 0.1), ok(2, 0, 0.1), ok(0, 1, 12)}, calls...)
	return h
}

// ok is a call of a client that succeeded, with a timestamp that is as old as it.
func ok(client int, start, end float64) groupCall {
	c := groupCall{Client: client, Start: int64(start * 1e9), End: int64(end * 1e9)}
	c.T = checked(1+c.End/1e6, int64(client))
	return c
}

func failed(client int, start, end float64) groupCall {
	return groupCall{Client: client, Start: int64(start * 1e9), End: int64(end * 1e9), Error: "planted"}
}

func outcomeOf(hits ...*crowdHit) *CrowdOutcome {
	return newCrowdOutcome(Ours, CrowdWithoutQuorum(3, 1, 10*time.Second), hits, new(machine))
}

func TestCrowdOutcome(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		hit                  *crowdHit
		first, half, all     time.Duration
		unserved, errorsSeen int
		pd, clients          time.Duration
	}{
		"one call each that waits": {
			hit:   seen(ok(1, 0.2, 12.5), ok(2, 0.3, 14)),
			first: 2 * time.Second, half: 2500 * ms, all: 4 * time.Second, pd: 6 * time.Second, clients: 6 * time.Second,
		},
		"a call that fails when others are served": {
			hit:   seen(ok(1, 0.2, 12.5), failed(2, 11, 13.5), ok(2, 13.6, 14)),
			first: 2 * time.Second, half: 2500 * ms, all: 4 * time.Second, pd: 6 * time.Second, clients: 6 * time.Second, errorsSeen: 1,
		},
		"a call that failed before": {
			hit:   seen(ok(1, 0.2, 12.1), failed(2, 1, 11.9), ok(2, 12.05, 12.1)),
			first: 2 * time.Second, half: 2050 * ms, all: 2100 * ms, pd: 5 * time.Second, clients: 4 * time.Second, errorsSeen: 1,
		},
		"a client that pauses when others are served": {
			hit:   seen(ok(1, 0.2, 12.1), ok(2, 15, 15.2)),
			first: 2 * time.Second, half: 2100 * ms, all: 2200 * ms, pd: 5 * time.Second, clients: 4 * time.Second,
		},
		"a client that is not served": {
			hit:   seen(ok(1, 0.2, 12.5), failed(2, 11, 13.5)),
			first: 2 * time.Second, half: 2 * time.Second, all: 2500 * ms, unserved: 1, pd: 8 * time.Second, clients: 10 * time.Second, errorsSeen: 1,
		},
		"a client that hangs": {
			hit:   seen(ok(1, 0.2, 12.5)),
			first: 2 * time.Second, half: 2 * time.Second, all: 2500 * ms, unserved: 1, pd: 8 * time.Second, clients: 10 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := outcomeOf(tc.hit)
			require.Equal(t, []time.Duration{tc.first, tc.half, tc.all}, []time.Duration{o.First, o.Half, o.All})
			require.Equal(t, tc.unserved, o.Unserved)
			require.Equal(t, tc.errorsSeen, o.Errors)
			require.Equal(t, []time.Duration{tc.pd, tc.clients}, []time.Duration{o.PD, o.Clients})
			require.Equal(t, []time.Duration{2 * time.Second, time.Second}, []time.Duration{o.PDBefore, o.ClientsBefore})
			require.Empty(t, o.Violations)
		})
	}
}

// What happens several times costs the average, and all are served when they are at worst.
func TestCrowdOutcome_OfSeveralTimes(t *testing.T) {
	o := outcomeOf(seen(ok(1, 0.2, 12.5), ok(2, 0.3, 14)), seen(ok(1, 0.2, 12.2), ok(2, 0.3, 12.3)))
	require.Equal(t, 4*time.Second, o.All)
	require.Equal(t, (6*time.Second+5*time.Second)/2, o.PD)
	require.InDelta(t, 4, o.RPCs[methodGetMembers], 1e-9)
	require.InDelta(t, 10, o.Requests[methodTso], 1e-9)
	require.InDelta(t, 6, o.Connects, 1e-9)
	require.NotEmpty(t, o.Violations, "each time has the same timestamps")

	cells := CrowdTable([]*CrowdOutcome{o}).Render()
	for _, want := range []string{"3 clients: no quorum for 10s", "5.50 s (2.00 before)", "4.0 s", "19 MB"} {
		require.Contains(t, cells, want)
	}
	require.InDelta(t, 2, o.others(func(method string) bool { return method == "/etcdserverpb.Watch/Watch" }), 1e-9)
	require.InDelta(t, 5, o.others(func(string) bool { return true }), 1e-9)
}

func TestCrowdMissed(t *testing.T) {
	served := func() *crowdHit { return seen(ok(1, 0.2, 12.5), ok(2, 0.3, 14)) }
	require.Empty(t, CrowdMissed(outcomeOf(served()), outcomeOf(served())))
	late := outcomeOf(seen(ok(1, 0.2, 12.5), ok(2, 0.3, 16)))
	missed := CrowdMissed(late, outcomeOf(served()))
	for _, want := range []string{"PD's CPU: 8.00 s beside 6.00 s, 1.3 times", "clients' CPU", "all served: 6.00 s beside 4.00 s"} {
		require.Contains(t, missed, want)
	}
	missed = CrowdMissed(outcomeOf(seen(failed(1, 0, 12))), outcomeOf(served()))
	require.Contains(t, missed, "2 clients never served")
	require.NotContains(t, missed, "all served")
	require.Contains(t, missed, "1 errors")
}
