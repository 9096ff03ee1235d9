package hostile

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"runtime"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// callAll calls every method that a client has but Close, each in a goroutine of
// its own, with ctx wherever a context is wanted, waits for the futures, and
// returns the errors by method. Methods that come later are called as well.
func callAll(t testing.TB, c tso.Client, ctx context.Context, dc string) map[string]error {
	var lock sync.Mutex
	var running sync.WaitGroup
	errs := make(map[string]error)
	value := reflect.ValueOf(c)
	for i := range value.NumMethod() {
		name, method := value.Type().Method(i).Name, value.Method(i)
		if name == "Close" {
			continue
		}
		running.Go(func() {
			err := call(method, ctx, dc)
			lock.Lock()
			defer lock.Unlock()
			errs[name] = err
		})
	}
	running.Wait()
	require.Contains(t, errs, "GetLocalTSAsync")
	return errs
}

// call calls a method with arguments made up by their types.
func call(method reflect.Value, ctx context.Context, dc string) error {
	args := make([]reflect.Value, method.Type().NumIn())
	for i := range args {
		switch want := method.Type().In(i); {
		case want == reflect.TypeFor[context.Context]() && ctx != nil:
			args[i] = reflect.ValueOf(ctx)
		case want.Kind() == reflect.String:
			args[i] = reflect.ValueOf(dc)
		case want == reflect.TypeFor[int]():
			args[i] = reflect.ValueOf(1) // timestamps
		default:
			args[i] = reflect.Zero(want)
		}
	}
	for _, result := range method.Call(args) {
		switch r := result.Interface().(type) {
		case error:
			return r
		case tso.TSFuture:
			_, _, err := r.Wait()
			return err
		}
	}
	return nil
}

var timestampMethods = []string{"GetTS", "GetTSAsync", "GetLocalTS", "GetLocalTSAsync", "GetMinTS"}

// Without a check for nil somewhere, one of these ends PD's client (pd#7910,
// pd#6159, pd#6440, pd#6131, pd#8962).
func TestEveryMethodInEveryState(t *testing.T) {
	type state struct {
		prepare func(*tsotest.Server, tso.Client)
		ctx     func() context.Context
		want    error // of the methods that return timestamps
	}
	none := func() context.Context { return nil }
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	done := func() context.Context {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}
	nothing := func(*tsotest.Server, tso.Client) {}
	for name, st := range map[string]state{
		"healthy":          {nothing, context.Background, nil},
		"nil context":      {nothing, none, tso.ErrInvalidArgument},
		"context done":     {nothing, done, context.Canceled},
		"no leader":        {func(s *tsotest.Server, _ tso.Client) { s.DropLeader() }, short, context.DeadlineExceeded},
		"silent server":    {func(s *tsotest.Server, _ tso.Client) { _ = s.Hold() }, short, context.DeadlineExceeded},
		"no server":        {func(s *tsotest.Server, _ tso.Client) { s.Close() }, short, context.DeadlineExceeded},
		"after Close":      {func(_ *tsotest.Server, c tso.Client) { c.Close() }, context.Background, tso.ErrClosed},
		"after two Closes": {func(_ *tsotest.Server, c tso.Client) { c.Close(); c.Close() }, context.Background, tso.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			s := tsotest.New(t, tsotest.WithDCs("dc-1"), tsotest.WithMembers(2))
			c := newClient(t, s)
			st.prepare(s, c)
			for method, err := range callAll(t, c, st.ctx(), "dc-1") {
				local := strings.HasPrefix(method, "GetLocal")
				switch {
				case !slices.Contains(timestampMethods, method), name == "no leader" && local:
					// Others may fail in their own ways; allocators need no leader.
				case st.want == nil:
					require.NoError(t, err, method)
				default:
					require.ErrorIs(t, err, st.want, method)
				}
			}
		})
	}
}

// A Close at any moment of any call.
func TestEveryMethodRacesClose(t *testing.T) {
	s := tsotest.New(t, tsotest.WithDCs("dc-1"))
	for range 10 {
		c, err := tso.NewClient(s.URLs(), tso.SecurityOption{})
		require.NoError(t, err)
		var running sync.WaitGroup
		for _, dc := range []string{"dc-1", "nowhere", ""} {
			running.Go(func() {
				for method, err := range callAll(t, c, context.Background(), dc) {
					if err != nil && !errors.Is(err, tso.ErrClosed) && !errors.Is(err, tso.ErrUnknownDCLocation) && !errors.Is(err, tso.ErrInvalidOption) {
						t.Errorf("%s: %v", method, err)
					}
				}
			})
		}
		runtime.Gosched()
		c.Close()
		running.Wait()
	}
}

// While nobody can be found there is no client (pd#8448: PD's constructor returns
// one together with the error), and the constructor's time is bounded.
func TestConstructorWithoutALeaderReturnsNoClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		s.DropLeader()
		c, err := tso.NewClient(s.URLs(), tso.SecurityOption{}, dialThrough(s.Dialer()), tso.WithMaxErrorRetry(3))
		require.ErrorIs(t, err, tso.ErrNoLeader)
		require.Nil(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		c, err = tso.NewClientWithContext(ctx, s.URLs(), tso.SecurityOption{}, dialThrough(s.Dialer()))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Nil(t, c)
		require.Equal(t, time.Second, time.Since(began))
	})
}

// The log of a client that was used and closed has no WARN and no ERROR: PD's
// client logs "context canceled" (pd#1134).
func TestCleanCloseLogsNoErrors(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3), tsotest.WithDCs("dc-1"))
	core, logs := observer.New(zap.WarnLevel)
	for range 8 {
		c, err := tso.NewClient(s.URLs(), tso.SecurityOption{}, tso.WithLogger(zap.New(core)))
		require.NoError(t, err)
		calls := startCallers(t, 4, every(c), nil)
		local := startCallers(t, 4, func() (int64, int64, error) { return c.GetLocalTS(context.Background(), "dc-1") }, nil)
		getTS(t, c)
		c.Close()
		calls.end()
		local.end()
	}
	for _, entry := range logs.All() {
		t.Errorf("logged: %v %v", entry.Message, entry.ContextMap())
	}
}

// With runtime/trace on, and a region of the caller's own around each call, which
// must be left to it (pd#10964).
func TestCallsWithinTheCallersTraceRegions(t *testing.T) {
	s := tsotest.New(t)
	c := newClient(t, s)
	var out bytes.Buffer
	require.NoError(t, trace.Start(&out))
	defer trace.Stop()
	ctx, task := trace.NewTask(context.Background(), "transaction")
	for range 100 {
		region := trace.StartRegion(ctx, "start timestamp")
		_, err := compose(c.GetTS(ctx))
		region.End()
		require.NoError(t, err)
		gone, cancel := context.WithCancel(ctx)
		future := c.GetTSAsync(gone)
		cancel()
		if _, _, err = future.Wait(); err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	task.End()
}
