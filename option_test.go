package tso

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	"github.com/tsoring/tso/tsotest"
)

func TestOptionsOutOfRangeAreNamed(t *testing.T) {
	for text, opt := range map[string]ClientOption{
		"WithCustomTimeoutOption": WithCustomTimeoutOption(0),
		"WithRequestBudget":       WithRequestBudget(time.Microsecond),
		"WithMaxErrorRetry":       WithMaxErrorRetry(-1),
		"WithInitTimeout":         WithInitTimeout(0),
		"WithClosedError":         WithClosedError(io.EOF),
	} {
		_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, opt)
		require.ErrorIs(t, err, ErrInvalidOption)
		require.ErrorContains(t, err, text)
	}
	_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, WithCustomTimeoutOption(-1), WithMaxErrorRetry(0))
	require.ErrorContains(t, err, "WithCustomTimeoutOption")
	require.ErrorContains(t, err, "WithMaxErrorRetry")
}

func TestAddressesThatCannotWorkAreErrorsAtOnce(t *testing.T) {
	for _, addrs := range [][]string{nil, {}, {""}, {"nonsense"}, {"http://"}, {"a:1,b:2"}} {
		began := time.Now()
		c, err := NewClient(addrs, SecurityOption{})
		require.ErrorIs(t, err, ErrInvalidAddress, "%q", addrs)
		require.Nil(t, c)
		require.Less(t, time.Since(began), time.Second)
	}
	_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{CAPath: "no/such/file.pem"})
	require.ErrorIs(t, err, ErrSecurity)
	require.ErrorContains(t, err, "no/such/file.pem")
}

func TestConstructorGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := NewClientWithContext(ctx, []string{"127.0.0.1:1"}, SecurityOption{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), time.Second)
}

func TestConstructorTellsTheContextsCause(t *testing.T) {
	slow := errors.New("startup took too long")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, slow)
	defer cancel()
	_, err := NewClientWithContext(ctx, []string{"127.0.0.1:1"}, SecurityOption{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, slow)
	require.ErrorIs(t, err, ErrUnavailable)
}

func TestInitTimeoutEndsTheConstructor(t *testing.T) {
	began := time.Now()
	_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, WithInitTimeout(300*time.Millisecond))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, ErrUnavailable)
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
	require.Less(t, time.Since(began), 2*time.Second)

	s := tsotest.New(t)
	for _, long := range []time.Duration{20 * time.Second, math.MaxInt64} {
		requireGetTS(t, newTestClient(t, s, WithInitTimeout(long)))
	}
}

// Where nobody has thought of a logger, a configuration that cannot work says so on standard
// error, once; a logger of the program's own, a silent one included, is enough.
func TestConstructorThatFindsNothingSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		global *zap.Logger // nil for the one that there is
		opts   []ClientOption
		lines  int
	}{
		"nobody has thought of a logger": {nil, nil, 1},
		"a silent logger":                {nil, []ClientOption{WithLogger(zap.NewNop())}, 0},
		"a global logger":                {zap.New(zapcore.NewTee(quiet, quiet)), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if c.global != nil {
				defer zap.ReplaceGlobals(c.global)()
			}
			text := stderrOf(t, func() {
				_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, append(c.opts, WithInitTimeout(time.Second/2))...)
				require.ErrorIs(t, err, ErrUnavailable)
			})
			require.Equal(t, c.lines, strings.Count(text, "\n"), text)
			if c.lines > 0 {
				require.Contains(t, text, "http://127.0.0.1:1")
				require.Contains(t, text, "connection refused")
				require.Contains(t, text, "WithInitTimeout")
			}
		})
	}
}

// quiet is the core of a logger that takes nothing below a panic.
var quiet = zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zapcore.PanicLevel)

// stderrOf returns what f writes to standard error.
func stderrOf(t *testing.T, f func()) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stderr")
	file, err := os.Create(path)
	require.NoError(t, err)
	own := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = own }()
	f()
	require.NoError(t, file.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestAddressesOfTwoClustersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // Who is much later than the first is not waited for.
		a := tsotest.New(t, tsotest.WithBufconn(), tsotest.WithClusterID(1))
		b := tsotest.New(t, tsotest.WithBufconn(), tsotest.WithClusterID(2), tsotest.WithMembers(2))
		dial := func(ctx context.Context, addr string) (net.Conn, error) {
			if strings.HasSuffix(b.URL(1), addr) {
				return b.Dialer()(ctx, addr)
			}
			return a.Dialer()(ctx, addr)
		}
		_, err := NewClient([]string{a.URL(0), b.URL(1)}, SecurityOption{}, WithGRPCDialOptions(grpc.WithContextDialer(dial)))
		require.ErrorIs(t, err, ErrClusterMismatch)
	})
}

func TestUpdateOptionKeepsUpstreamsTexts(t *testing.T) {
	c := newTestClient(t, tsotest.New(t))
	for _, tc := range []struct {
		option DynamicOption
		value  any
		text   string
	}{
		{MaxTSOBatchWaitInterval, 5, "[pd] invalid value type for MaxTSOBatchWaitInterval option, it should be time.Duration"},
		{MaxTSOBatchWaitInterval, 11 * time.Millisecond, "[pd] invalid max TSO batch wait interval, should be between 0 and 10ms"},
		{MaxTSOBatchWaitInterval, -time.Millisecond, "[pd] invalid max TSO batch wait interval, should be between 0 and 10ms"},
		{EnableTSOFollowerProxy, "on", "[pd] invalid value type for EnableTSOFollowerProxy option, it should be bool"},
		{TSOClientRPCConcurrency, int64(4), "[pd] invalid value type for TSOClientRPCConcurrency option, it should be int"},
		{TSOClientRPCConcurrency, 0, "at least 1"},
		{DynamicOption(99), nil, "[pd] unsupported client option"},
	} {
		err := c.UpdateOption(tc.option, tc.value)
		require.ErrorIs(t, err, ErrInvalidOption)
		require.ErrorContains(t, err, tc.text)
	}
	requireGetTS(t, c)
}

func TestDynamicOptionsChangeUnderLoad(t *testing.T) {
	c := newTestClient(t, tsotest.New(t))
	stop := load(t, c, 16)
	for i := range 50 {
		require.NoError(t, c.UpdateOption(TSOClientRPCConcurrency, []int{1, 4, 64, 1000}[i%4]))
		require.NoError(t, c.UpdateOption(MaxTSOBatchWaitInterval, time.Duration(i%3)*time.Millisecond))
		require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, i%2 == 0))
		requireGetTS(t, c)
	}
	stop()
}
