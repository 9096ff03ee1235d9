package pdcluster

import (
	"context"
	"crypto/tls"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startTimed runs a cluster and tells how long that took.
func startTimed(t *testing.T, cfg Config) (*Cluster, context.Context) {
	t.Helper()
	_, err := Build(t.Context())
	require.NoError(t, err)
	begun := time.Now()
	c := StartT(t, cfg)
	t.Logf("started in %v", time.Since(begun).Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return c, ctx
}

func TestCluster_OneMemberServes(t *testing.T) {
	c, ctx := startTimed(t, Config{})
	require.Len(t, c.ClientURLs(), 1)
	leader, err := c.Leader(ctx)
	require.NoError(t, err)
	require.Equal(t, c.Members()[0], leader)
	first, err := leader.Timestamp(ctx, "")
	require.NoError(t, err)
	second, err := leader.Timestamp(ctx, "")
	require.NoError(t, err)
	require.Greater(t, second, first)
}

func TestCluster_LeaderMoves(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true})
	first, err := c.Leader(ctx)
	require.NoError(t, err)
	before, err := first.Timestamp(ctx, "")
	require.NoError(t, err)

	moved := time.Now()
	second := first
	for second == first { // which PD may choose, see WaitLeader
		require.NoError(t, c.Resign(ctx))
		second, err = c.WaitLeader(ctx)
		require.NoError(t, err)
	}
	t.Logf("resigned in %v", time.Since(moved))
	after, err := second.Timestamp(ctx, "")
	require.NoError(t, err)
	require.Greater(t, after, before)

	for back := second; back != first; {
		require.NoError(t, c.TransferLeader(ctx, first.Name))
		back, err = c.WaitLeader(ctx)
		require.NoError(t, err)
	}
}

func TestCluster_MembersTakeFaults(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true})
	leader, err := c.Leader(ctx)
	require.NoError(t, err)
	for _, fault := range []struct {
		name     string
		hit, end func(*Member) error
	}{
		{"kill", (*Member).Kill, (*Member).Launch},
		{"freeze", (*Member).Freeze, (*Member).Thaw},
		{"terminate", (*Member).Terminate, func(m *Member) error { return m.Restart(ctx) }},
	} {
		begun := time.Now()
		require.NoError(t, fault.hit(leader), fault.name)
		require.NoError(t, fault.hit(leader), "%s, again", fault.name)
		require.Equal(t, fault.name == "freeze", leader.Running())
		next, err := c.WaitOtherLeader(ctx, leader)
		require.NoError(t, err, fault.name)
		t.Logf("%s: new leader after %v", fault.name, time.Since(begun).Round(time.Millisecond))
		require.NoError(t, fault.end(leader), fault.name)
		require.NoError(t, leader.WaitServing(ctx), fault.name)
		leader = next
	}
	begun := time.Now()
	require.NoError(t, c.RestartAll(ctx))
	t.Logf("restart of all: leader after %v", time.Since(begun).Round(time.Millisecond))
}

func TestCluster_LocalTSO(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true, LocalTSO: true})
	leaders, err := c.AllocatorLeaders(ctx)
	require.NoError(t, err)
	require.Len(t, leaders, 3)
	local, err := c.Member(leaders["dc-2"]).Timestamp(ctx, "dc-2")
	require.NoError(t, err)
	leader, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	global, err := leader.Timestamp(ctx, "")
	require.NoError(t, err)
	require.Greater(t, global, local)
	_, err = leader.Timestamp(ctx, "dc-9")
	require.Error(t, err)
}

func TestCluster_AllocatorsMove(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true, LocalTSO: true})
	begun := time.Now()
	for _, m := range c.Members() {
		require.NoError(t, c.TransferAllocator(ctx, m.DC, m.Name))
	}
	for _, m := range c.Members() {
		require.NoError(t, c.WaitAllocator(ctx, m.DC, m.Name))
	}
	t.Logf("allocators at home after %v", time.Since(begun).Round(time.Millisecond))
}

func TestCluster_TLS(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 2, Fast: true, TLS: true})
	require.True(t, strings.HasPrefix(c.ClientURLs()[0], "https://"))
	require.NoError(t, c.Resign(ctx))
	_, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	_, err = tls.LoadX509KeyPair(c.TLS.CertPath, c.TLS.KeyPath)
	require.NoError(t, err)
	_, err = os.Stat(c.TLS.CAPath)
	require.NoError(t, err)
}

func TestCluster_AdvertisesWhatItIsTold(t *testing.T) {
	c, ctx := startTimed(t, Config{
		AdvertiseClientURLs: func(urls []string) ([]string, error) {
			return []string{strings.Replace(urls[0], "127.0.0.1", "localhost", 1)}, nil
		},
	})
	require.Contains(t, c.ClientURLs()[0], "localhost")
	resp, err := c.Members()[0].members(ctx)
	require.NoError(t, err)
	require.Equal(t, c.ClientURLs(), resp.GetLeader().GetClientUrls())
}

func TestCluster_CloseLeavesNothing(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 2})
	require.NoError(t, c.Members()[0].Freeze())
	var pids []int
	for _, m := range c.Members() {
		pids = append(pids, m.process().cmd.Process.Pid)
	}
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	for _, pid := range pids {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
	require.NoDirExists(t, c.dir)
	require.ErrorIs(t, c.Members()[0].Launch(), errClosed)
	_, err := c.Leader(ctx)
	require.ErrorIs(t, err, ErrNoLeader)
}

func TestStart_FailureNamesAFileWithTheLogs(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), Config{
		Dir:                 dir,
		AdvertiseClientURLs: func([]string) ([]string, error) { return []string{"not a url"}, nil },
	})
	require.ErrorContains(t, err, "is not running: exit status")
	_, name, found := strings.Cut(err.Error(), "the members' logs are in ")
	require.True(t, found, err)
	name, _, _ = strings.Cut(name, ")")
	defer os.Remove(name)
	logs, readErr := os.ReadFile(name)
	require.NoError(t, readErr)
	require.Contains(t, string(logs), "--advertise-client-urls")
	require.Less(t, len(err.Error()), 500, "the logs themselves are not in it")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = Start(t.Context(), Config{Members: -1})
	require.ErrorContains(t, err, "must not be negative")
}
