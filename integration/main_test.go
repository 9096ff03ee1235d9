// Package integration_test runs the client against real PD processes.
//
// The clusters of clusters below are shared: a test that hurts one waits at its
// end until the cluster serves again. Tests that measure time or count
// goroutines run one after another; those of Local TSO run at the end, at the
// same time as each other, because a moving allocator takes PD up to a minute.
package integration_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/faults"
	"github.com/tsoring/tso/integration/pdcluster"
)

// shared is a cluster that several tests use, started by the first of them.
type shared struct {
	config pdcluster.Config

	once    sync.Once
	cluster *pdcluster.Cluster
	err     error
}

var (
	oneNode  = &shared{config: pdcluster.Config{}}
	three    = &shared{config: pdcluster.Config{Members: 3, Fast: true}}
	localTSO = &shared{config: pdcluster.Config{Members: 3, Fast: true, LocalTSO: true}}
	moving   = &shared{config: localTSO.config}
	threeTLS = &shared{config: pdcluster.Config{Members: 3, Fast: true, TLS: true}}
	broken   = &shared{config: faults.Fast.Config()}
	clusters = []*shared{oneNode, three, localTSO, moving, threeTLS, broken}
)

// start runs the cluster unless it runs already.
func (s *shared) start() (*pdcluster.Cluster, error) {
	s.once.Do(func() { s.cluster, s.err = pdcluster.Start(context.Background(), s.config) })
	return s.cluster, s.err
}

// use returns the cluster, and names a file with the members' logs if t fails.
func (s *shared) use(t *testing.T) *pdcluster.Cluster {
	t.Helper()
	cluster, err := s.start()
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(cluster.SaveLogs())
		}
	})
	return cluster
}

func (s *shared) close() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.Close()
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	flag.Parse()
	if whole() {
		// PD's clock of one minute, which moves allocators, starts with the
		// process. What has passed of it when the test begins that needs a
		// move, it does not have to wait for.
		if _, err := moving.start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code = m.Run()
	var errs []error
	for _, s := range clusters {
		errs = append(errs, s.close())
	}
	if code == 0 {
		errs = append(errs, goleak.Find())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// whole reports whether all tests run, rather than some or none.
func whole() bool {
	for _, name := range []string{"test.run", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}

// bounded returns a context that ends with the test, or after d: what is waited
// for comes long before, and if it does not, the test fails rather than hangs.
func bounded(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// connect returns a client that logs to t and is closed at its end.
//
// Its calls wait for as long as it takes: how long PD needs to elect a leader on a
// busy machine is not what these tests are about, but that calls see it through, and
// soon after it has one.
func connect(t *testing.T, urls []string, security tso.SecurityOption, opts ...tso.ClientOption) tso.Client {
	t.Helper()
	own := []tso.ClientOption{logTo(t), tso.WithRequestBudget(2 * time.Minute)}
	client, err := tso.NewClient(urls, security, append(own, opts...)...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func logTo(t *testing.T) tso.ClientOption {
	t.Helper()
	return tso.WithLogger(zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)))
}

// plain is the security of a cluster without TLS.
var plain tso.SecurityOption
