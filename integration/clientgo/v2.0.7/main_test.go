// Package clientgo runs client-go's oracle and its transactions on real PD processes, over
// PD's own client and over the one that stands in for it.
package clientgo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pd "github.com/tikv/pd/client"
	"go.uber.org/goleak"

	"github.com/tsoring/tso/integration/bank"
	"github.com/tsoring/tso/integration/clientgo/v2.0.7/stack"
	"github.com/tsoring/tso/integration/pdcluster"
	"github.com/tsoring/tso/pdcompat"
)

// shared is a cluster that several tests use, started by the first of them.
type shared struct {
	config pdcluster.Config

	once    sync.Once
	cluster *pdcluster.Cluster
	store   *pdcluster.Store
	err     error
}

var (
	oneNode = &shared{}
	three   = &shared{config: pdcluster.Config{Members: 3, Fast: true}}
)

// use returns the cluster, which knows of the mock's store, and names a file with the
// members' logs if t fails.
func (s *shared) use(t *testing.T) *pdcluster.Cluster {
	t.Helper()
	s.once.Do(func() {
		if s.cluster, s.err = pdcluster.Start(context.Background(), s.config); s.err == nil {
			s.store, s.err = stack.Serve(context.Background(), s.cluster)
		}
	})
	require.NoError(t, s.err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.cluster.SaveLogs())
		}
	})
	return s.cluster
}

func (s *shared) close() error {
	if s.store != nil {
		s.store.Stop()
	}
	if s.cluster == nil {
		return nil
	}
	return s.cluster.Close()
}

// drains ignores what the mock's database ends a second after its Close.
var drains = goleak.IgnoreTopFunction("github.com/pingcap/goleveldb/leveldb.(*DB).mpoolDrain")

func TestMain(m *testing.M) {
	stack.Quiet()
	code := m.Run()
	err := errors.Join(oneNode.close(), three.close())
	if code == 0 {
		err = errors.Join(err, goleak.Find(drains))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// subject is a PD client that everything is tried with.
type subject struct {
	name string
	ours bool // or else PD's own
	open stack.OpenPD
}

var subjects = []subject{
	{"upstream", false, stack.Upstream},
	{"ours", true, stack.Ours},
	{"wrapped", true, stack.Wrapped},
}

// each runs a test with each client.
func each(t *testing.T, test func(t *testing.T, c subject)) {
	t.Helper()
	for _, c := range subjects {
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

// checkTaken checks what client-go took of a client that is closed.
func (c subject) checkTaken(t *testing.T, client pd.Client, tally *bank.Tally) {
	t.Helper()
	require.Empty(t, stack.Check(client, tally))
	_, counts := client.(pdcompat.StatsClient)
	require.Equal(t, c.ours, counts)
}

// bounded returns a context that ends with the test, or after d: what is waited for comes
// long before, and if it does not, the test fails rather than hangs.
func bounded(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
