package clientgo

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/integration/bank"
	"github.com/tsoring/tso/integration/clientgo/v2.0.7/stack"
	"github.com/tsoring/tso/integration/pdcluster"
)

const (
	tellers  = 64
	accounts = 256
)

// openBank opens a bank on a stack of its own. At the end of the test the stack is closed,
// and what it took is checked.
func openBank(t *testing.T, cluster *pdcluster.Cluster, c subject) *bank.Bank {
	t.Helper()
	s, err := stack.Open(t.Context(), cluster.ClientURLs(), c.open)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		c.checkTaken(t, s.PD, s.Taken)
	})
	b, err := bank.Open(t.Context(), s.Bank(), accounts)
	require.NoError(t, err)
	return b
}

// check checks what holds for each run, whatever happened.
func check(t *testing.T, c subject, r bank.Result) {
	t.Helper()
	t.Logf("%d transfers in %v, %.0f a second, %d conflicts, half in %v, 99 of 100 in %v, longest %v, silence %v, %d audits",
		r.Committed, r.Took.Round(time.Millisecond), r.Rate(), r.Conflicts, r.Quantile(0.5), r.Quantile(0.99), r.Longest(), r.Silence, r.Audits)
	require.Zero(t, r.Unbalanced, r.Messages)
	if c.ours {
		require.Zero(t, r.Failed, r.Messages)
	}
	require.Positive(t, r.Audits)
}

// Transfers that conflict keep the balance in each snapshot.
func TestBank_KeepsTheBalance(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		const transfers = 2000
		b := openBank(t, oneNode.use(t), c)
		r := b.Start(bank.Load{Tellers: tellers, Transfers: transfers, Audits: 20 * time.Millisecond}).Wait()
		check(t, c, r)
		require.Equal(t, transfers, r.Committed)
		require.Positive(t, r.Conflicts)
	})
}

// So they do while the leader hands over, and while it has died: client-go waits for longer
// than that takes.
func TestBank_LeaderChanges(t *testing.T) {
	each(t, func(t *testing.T, c subject) {
		cluster := three.use(t)
		ctx := bounded(t, 2*time.Minute)
		b := openBank(t, cluster, c)
		r := b.Start(bank.Load{Tellers: tellers, Pause: 50 * time.Millisecond, Audits: 100 * time.Millisecond})
		require.NoError(t, cluster.Resign(ctx))
		leader, err := cluster.WaitLeader(ctx)
		require.NoError(t, err)
		awaitCommits(ctx, t, r)
		require.NoError(t, leader.Kill())
		_, err = cluster.WaitOtherLeader(ctx, leader)
		require.NoError(t, err)
		require.NoError(t, leader.Launch())
		require.NoError(t, leader.WaitServing(ctx))
		awaitCommits(ctx, t, r)
		check(t, c, r.Stop())
	})
}

// awaitCommits returns when transfers are committed.
func awaitCommits(ctx context.Context, t *testing.T, r *bank.Run) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); r.Committed() > time.Since(began); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("no transfer is committed")
		}
	}
}
