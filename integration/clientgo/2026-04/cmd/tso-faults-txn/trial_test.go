package main

import (
	"context"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"
	"github.com/tikv/pd/client/pkg/caller"

	"github.com/tsoring/tso/integration/clientgo/2026-04/stack"
	"github.com/tsoring/tso/integration/faults"
	"github.com/tsoring/tso/integration/pdcluster"
)

func TestMain(m *testing.M) {
	stack.Quiet()
	os.Exit(m.Run())
}

// stale is a client that returns a timestamp a second time, long after the first.
type stale struct {
	pd.Client
	calls *atomic.Int64
	first *atomic.Pointer[[2]int64]
}

func (s stale) GetTS(ctx context.Context) (physical, logical int64, err error) {
	physical, logical, err = s.Client.GetTS(ctx)
	if err != nil || s.first.CompareAndSwap(nil, &[2]int64{physical, logical}) || s.calls.Add(1) != 200 {
		return physical, logical, err
	}
	first := s.first.Load()
	return first[0], first[1], nil
}

func (s stale) WithCallerComponent(component caller.Component) pd.Client {
	return stale{s.Client.WithCallerComponent(component), s.calls, s.first}
}

func openStale(opts ...opt.ClientOption) stack.OpenPD {
	return func(ctx context.Context, addrs []string) (pd.Client, error) {
		c, err := stack.Ours(opts...)(ctx, addrs)
		return stale{c, new(atomic.Int64), new(atomic.Pointer[[2]int64])}, err
	}
}

// A trial hurts all clients alike, and sees what one of them does wrong.
func TestTry_SeesWhatIsPlanted(t *testing.T) {
	cluster := pdcluster.StartT(t, faults.Fast.Config())
	store, err := stack.Serve(t.Context(), cluster)
	require.NoError(t, err)
	defer store.Stop()
	row := faults.EverythingReset()
	v, err := try(t.Context(), cluster, row, []client{{"upstream", stack.Upstream}, {"ours", stack.Ours}, {"planted", openStale}})
	require.NoError(t, err)
	require.Positive(t, v.silence)
	require.Len(t, v.outcomes, 3)
	for i, name := range []string{"upstream", "ours", "planted"} {
		o := v.outcomes[i]
		require.Equal(t, name, o.client)
		require.Greater(t, o.Committed, tellers)
		require.Positive(t, o.Audits)
		if name == "planted" {
			require.NotEmpty(t, o.wrong)
			continue
		}
		require.Empty(t, o.wrong)
		require.Zero(t, o.Unbalanced)
	}
	require.ErrorContains(t, tell(t.Output(), row, v.outcomes), "planted")
}
