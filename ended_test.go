package tso

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// startBrokenLane returns a lane that gets no stream, because of cause.
func startBrokenLane(t *testing.T, cause error) (*lane, *fakeEnv) {
	e := newFakeEnv(nil)
	e.open = func(context.Context, string, route) (tsoStream, error) { return nil, cause }
	return startLane(t, e), e
}

func waitFor(t *testing.T, l *lane, ctx context.Context) error {
	_, _, err := pushNew(t, l, ctx).Wait()
	require.Error(t, err)
	return err
}

func TestContextThatEndsTellsTheLastCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := startBrokenLane(t, &fs.PathError{Op: "open", Path: "stream", Err: errPlanted})
		timeout, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		for ctx, other := range map[context.Context]error{timeout: context.Canceled, canceled: context.DeadlineExceeded} {
			err := waitFor(t, l, ctx)
			require.ErrorIs(t, err, ctx.Err())
			require.NotErrorIs(t, err, other)
			require.ErrorIs(t, err, errPlanted)
			var cause *fs.PathError
			require.ErrorAs(t, err, &cause)
			for _, part := range []string{ctx.Err().Error(), `"global"`, "pd-1", "open stream: planted"} {
				require.ErrorContains(t, err, part)
			}
			var timed net.Error
			require.ErrorAs(t, err, &timed)
			require.Equal(t, errors.Is(other, context.Canceled), timed.Timeout())
		}
	})
}

// Contexts of ours end on the way to PD; they are not the caller's.
func TestContextErrorsAreTheCallersOwn(t *testing.T) {
	for _, cause := range []error{
		context.Canceled, context.DeadlineExceeded, &budgetError{}, &net.OpError{Op: "dial", Err: context.Canceled},
		errors.Join(errPlanted, fmt.Errorf("%w", context.Canceled), fmt.Errorf("%w", context.DeadlineExceeded)),
	} {
		t.Run(cause.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := startBrokenLane(t, cause)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := waitFor(t, l, ctx)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NotErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, "the last failure was")

				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				err = waitFor(t, l, ctx)
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, context.DeadlineExceeded)

				err = waitFor(t, l, t.Context())
				require.ErrorIs(t, err, ErrBudgetSpent)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NotErrorIs(t, err, context.Canceled)
				var timed net.Error
				require.ErrorAs(t, err, &timed)
				require.True(t, timed.Timeout())
			})
		})
	}
}

// Where nothing is wrong but that PD takes longer than the caller has, and where the
// context has ended before the call, there is nothing to tell.
func TestContextThatEndsWithNothingToTellIsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		<-ss.opened
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.True(t, waitFor(t, l, ctx) == context.DeadlineExceeded) //nolint:errorlint // as it is
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		require.True(t, waitFor(t, l, ctx) == context.Canceled) //nolint:errorlint // as it is
	})
}

func TestContextThatEndsWhileTheStreamIsSilentSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		<-ss.opened
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := waitFor(t, l, ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "no answer from pd-1")
	})
}

func TestContextThatEndsBeforeThereIsRoomTellsTheLastCause(t *testing.T) {
	for cause, text := range map[error]string{errPlanted: "planted", nil: "queued already"} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newFakeEnv(func(string, *atomic.Int64) tsoStream { return nil })
				e.capacity = 2
				l := newLane(globalDC, e.laneEnv) // does not run
				defer e.wheel.Close()
				defer l.tickTimer.Stop()
				if cause != nil {
					l.blame(cause)
				}
				pushMany(t, l, 2)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				defer cancel()
				err := l.push(ctx, e.requests.get(ctx))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, text)
			})
		})
	}
}

func TestCauseOfTheContextIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		<-ss.opened
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(errPlanted) })
		err := waitFor(t, l, ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errPlanted)
		require.EqualError(t, err, "context canceled (planted)")

		l.blame(errors.New("refused"))
		ctx, stop := context.WithTimeoutCause(t.Context(), time.Millisecond, context.Canceled)
		defer stop()
		err = waitFor(t, l, ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, context.Canceled)
		require.EqualError(t, err, `context deadline exceeded (context canceled): no timestamp for dc-location "global"; the last failure was: refused`)
	})
}

// early is a context that is done and says that it is not.
type early struct{ context.Context }

func (early) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (early) Err() error { return nil }

func TestContextThatIsDoneWithoutAnErrorIsNoSuccess(t *testing.T) {
	for name, fail := range map[string]bool{"healthy": false, "with a cause": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ss := newStreams()
				l, _ := startFakeLane(t, ss.open)
				<-ss.opened
				synctest.Wait()
				if fail {
					l.blame(errPlanted)
				}
				err := waitFor(t, l, early{t.Context()})
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, "Err is nil")
				require.Equal(t, fail, errors.Is(err, errPlanted))
			})
		})
	}
}
