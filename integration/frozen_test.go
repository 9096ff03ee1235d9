package integration_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tsoring/tso"
)

// late is how one call with a deadline came back.
type late struct {
	by  time.Duration // after the deadline
	err error
}

// callWithDeadline makes a call that has so much time.
func callWithDeadline(client tso.Client, d time.Duration, async bool) late {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	deadline, _ := ctx.Deadline()
	var err error
	if async {
		_, _, err = client.GetTSAsync(ctx).Wait()
	} else {
		_, _, err = client.GetTS(ctx)
	}
	return late{time.Since(deadline), err}
}

// waitOnly is how late a goroutine is that waits for nothing but its deadline: what
// the machine adds to everybody's.
func waitOnly(d time.Duration) time.Duration {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	deadline, _ := ctx.Deadline()
	<-ctx.Done()
	return time.Since(deadline)
}

// A member that is stopped keeps its connections and says nothing. Nobody may
// wait for it beyond their deadline; neither in the first moment, nor when the
// stream is given up and opened anew, nor when they are many.
func TestFrozenPD_CallersKeepTheirDeadlines(t *testing.T) {
	cluster := oneNode.use(t)
	member := cluster.Members()[0]
	client := connect(t, cluster.ClientURLs(), plain, tso.WithCustomTimeoutOption(500*time.Millisecond))
	before, err := composed(client.GetTS(bounded(t, 20*time.Second)))
	require.NoError(t, err)

	thaw := freeze(t, member)
	const callers, rounds = 2_000, 20 // more than two times the RPC timeout
	calls := make(chan late, callers*rounds)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for range rounds {
				calls <- callWithDeadline(client, 50*time.Millisecond, i%4 == 0)
			}
		})
	}
	const others = 200
	waits := make(chan time.Duration, others*rounds)
	for range others {
		all.Go(func() {
			for range rounds {
				waits <- waitOnly(50 * time.Millisecond)
			}
		})
	}
	all.Wait()
	close(calls)
	close(waits)
	thaw()

	thawed := time.Now()
	after, err := composed(client.GetTS(bounded(t, 20*time.Second)))
	require.NoError(t, err)
	require.Greater(t, after, before)
	served := time.Since(thawed)

	var latest time.Duration
	for call := range calls {
		require.ErrorIs(t, call.err, context.DeadlineExceeded)
		require.NotErrorIs(t, call.err, tso.ErrBudgetSpent)
		latest = max(latest, call.by)
	}
	var machine time.Duration
	for by := range waits {
		machine = max(machine, by)
	}
	t.Logf("latest of %d calls: %v after its deadline, of %d that only wait: %v; served %v after the thaw; %+v",
		callers*rounds, latest, others*rounds, machine, served, client.Stats())
	// They have more to do than those, which shows where processors are short.
	require.Less(t, latest, 2*machine+300*time.Millisecond)

	// And all of it works again, in order.
	l := newLoad(20_000)
	l.callers(32, client, global)
	l.futures(8, 32, client, global)
	r := l.wait()
	r.requireClean(t)
	for _, c := range r.calls {
		require.Greater(t, c.T, after)
	}
}

// Calls without a deadline of their own wait for as long as their budget, and
// are served when the member goes on.
func TestFrozenPD_CallsWithoutDeadlineAreServedAfterTheThaw(t *testing.T) {
	cluster := oneNode.use(t)
	member := cluster.Members()[0]
	client := connect(t, cluster.ClientURLs(), plain, tso.WithCustomTimeoutOption(500*time.Millisecond))
	l := newLoad(withoutEnd)
	l.pause = 2 * time.Millisecond
	l.callers(32, client, global)
	l.futures(8, 16, client, global)
	_, _, err := client.GetTS(bounded(t, 20*time.Second))
	require.NoError(t, err)

	thaw := freeze(t, member)
	frozen := l.recorder.Now()
	_, _, err = client.GetTS(bounded(t, 1200*time.Millisecond)) // the time passes here
	require.ErrorIs(t, err, context.DeadlineExceeded)
	thaw()
	thawed := l.recorder.Now()
	_, _, err = client.GetTS(bounded(t, 20*time.Second))
	require.NoError(t, err)
	served := l.recorder.Now()
	r := l.finish()
	r.requireClean(t)
	t.Logf("frozen for %v, served %v after the thaw, longest call %v, %+v",
		time.Duration(thawed-frozen), time.Duration(served-thawed), r.longest(frozen, served), client.Stats())
}

// Nor do they wait for longer than their budget, and they learn what was wrong.
func TestFrozenPD_CallsEndWithTheirBudget(t *testing.T) {
	cluster := oneNode.use(t)
	const budget = 400 * time.Millisecond
	client := connect(t, cluster.ClientURLs(), plain, tso.WithRequestBudget(budget))
	_, _, err := client.GetTS(bounded(t, 20*time.Second))
	require.NoError(t, err)
	thaw := freeze(t, cluster.Members()[0])
	calls := make(chan late, 500)
	var all sync.WaitGroup
	for i := range cap(calls) {
		all.Go(func() {
			began := time.Now()
			call := callWithDeadline(client, time.Minute, i%4 == 0)
			calls <- late{time.Since(began) - budget, call.err}
		})
	}
	all.Wait()
	close(calls)
	thaw()
	var latest time.Duration
	for call := range calls {
		require.ErrorIs(t, call.err, tso.ErrBudgetSpent)
		require.GreaterOrEqual(t, call.by, time.Duration(0), "before its budget")
		latest = max(latest, call.by)
	}
	t.Logf("latest %v after its budget", latest)
	require.Less(t, latest, time.Second)
	requireServing(t, cluster)
}

// A client can be closed while nobody answers.
func TestFrozenPD_CloseDoesNotWait(t *testing.T) {
	cluster := oneNode.use(t)
	member := cluster.Members()[0]
	others := goleak.IgnoreCurrent()
	client, err := tso.NewClient(cluster.ClientURLs(), plain, logTo(t))
	require.NoError(t, err)
	c := gather(client, 500)
	c.busy.Wait()
	thaw := freeze(t, member)
	began := time.Now()
	client.Close()
	took := time.Since(began)
	c.requireClosed(t)
	thaw()
	t.Logf("Close took %v", took)
	require.Less(t, took, time.Second)
	require.NoError(t, goleak.Find(others))
	requireServing(t, cluster)
}
