package tso

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

var errPlanted = errors.New("planted")

func TestWaitReturnsWhatTheOwnerGave(t *testing.T) {
	pool := newRequestPool()
	r := pool.get(context.Background())
	r.finish(ComposeTS(5, 6))
	physical, logical, err := r.Wait()
	require.NoError(t, err)
	require.Equal(t, []int64{5, 6}, []int64{physical, logical})

	r = pool.get(context.Background())
	r.fail(errPlanted)
	_, _, err = r.Wait()
	require.ErrorIs(t, err, errPlanted)

	_, _, err = pool.settled(errPlanted).Wait()
	require.ErrorIs(t, err, errPlanted)
}

func TestSecondWaitIsToldSo(t *testing.T) {
	r := newRequestPool().get(context.Background())
	r.finish(stateDone)
	_, _, err := r.Wait()
	require.NoError(t, err)
	_, _, err = r.Wait()
	require.ErrorIs(t, err, ErrFutureWaited)
}

func TestWaitWhileAnotherWaitsIsToldSo(t *testing.T) {
	r := newRequestPool().get(context.Background())
	first := make(chan error)
	go func() {
		_, _, err := r.Wait()
		first <- err
	}()
	for r.word.Load() != stateParked {
		runtime.Gosched()
	}
	_, _, err := r.Wait()
	require.ErrorIs(t, err, ErrFutureWaited)
	r.finish(stateDone)
	require.NoError(t, <-first)
}

// While the caller is being woken its timestamp is there for all to see, and its token is
// on the way: nobody else may take the one and leave the other.
func TestWaitWhileAnotherIsBeingWokenIsToldSo(t *testing.T) {
	for name, end := range map[string]func(*request){
		"done":   func(r *request) { r.word.Store(stateDone) },
		"failed": func(r *request) { r.err = errPlanted; r.word.Store(stateFailed) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequestPool().get(context.Background())
			first := make(chan error)
			go func() {
				_, _, err := r.Wait()
				first <- err
			}()
			for r.word.Load() != stateParked {
				runtime.Gosched()
			}
			end(r) // half of what the owner does
			_, _, err := r.Wait()
			require.ErrorIs(t, err, ErrFutureWaited)
			r.wake <- struct{}{}
			require.NotErrorIs(t, <-first, ErrFutureWaited)
		})
	}
}

// The request goes back to the pool once, or it would serve two calls.
func TestOfTwoWaitsOnAFinishedFutureOneGetsIt(t *testing.T) {
	for name, end := range map[string]func(*request){
		"done":   func(r *request) { r.finish(stateDone) },
		"failed": func(r *request) { r.fail(errPlanted) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20_000 {
				r := newRequestPool().get(context.Background())
				end(r)
				var told atomic.Int32
				var start, both sync.WaitGroup
				start.Add(1)
				for range 2 {
					both.Go(func() {
						start.Wait()
						if _, _, err := r.Wait(); errors.Is(err, ErrFutureWaited) {
							told.Add(1)
						}
					})
				}
				start.Done()
				both.Wait()
				require.EqualValues(t, 1, told.Load())
			}
		})
	}
}

// A call that its caller awaits is no future: who holds one that was waited for long ago
// cannot get at it.
func TestSecondWaitDoesNotTouchACallOfLater(t *testing.T) {
	r := newRequestPool().call(context.Background()) // as it comes out of the pool again
	_, _, err := r.Wait()
	require.ErrorIs(t, err, ErrFutureWaited)
	r.finish(stateDone + 1)
	_, logical, err := r.await()
	require.NoError(t, err)
	require.EqualValues(t, 1, logical)
}

// A caller whose context ends leaves the request to the owner, who recycles it:
// the owner's late answer must not reach the request's next user.
func TestAbandonedRequestIsRecycledByItsOwner(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := newRequestPool().get(ctx)
	r.ended = context.Cause
	_, _, err := r.Wait()
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, stateAbandoned, r.word.Load())
	require.True(t, r.dropIfAbandoned())
	require.Nil(t, r.ctx, "recycled")

	r = newRequestPool().get(ctx)
	r.ended = context.Cause
	_, _, err = r.Wait()
	require.ErrorIs(t, err, context.Canceled)
	r.finish(stateDone) // the late answer
	require.Nil(t, r.ctx, "recycled")
	require.Empty(t, r.wake)
}

// Answer and cancellation race for requests that are used again and again. Each
// call gets its own answer or its context's error, nothing of anybody else's, and
// no token is left behind.
func TestFinishAndAbandonHaveOneWinner(t *testing.T) {
	for _, procs := range []int{1, 2, 4, 8} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		pool := newRequestPool()
		var done, abandoned atomic.Int64
		var wg sync.WaitGroup
		for caller := range 8 {
			wg.Go(func() {
				for i := range 3000 {
					ctx, cancel := context.WithCancel(context.Background())
					r := pool.get(ctx)
					r.ended = context.Cause
					if len(r.wake) != 0 {
						t.Error("a request came out of the pool with a token")
					}
					want := ComposeTS(int64(i+1), int64(caller))
					owner := make(chan struct{})
					answer := func() {
						r.finish(want)
						close(owner)
					}
					switch i % 8 {
					case 0: // surely cancelled first
						cancel()
						physical, logical, err := r.Wait()
						if !errors.Is(err, context.Canceled) {
							t.Errorf("got (%d, %d, %v) without an answer", physical, logical, err)
						}
						abandoned.Add(1)
						answer()
						continue
					case 1: // surely answered first
						answer()
					default:
						go answer()
						go cancel()
					}
					physical, logical, err := r.Wait()
					switch {
					case err == nil && ComposeTS(physical, logical) == want:
						done.Add(1)
					case errors.Is(err, context.Canceled):
						abandoned.Add(1)
					default:
						t.Errorf("got (%d, %d, %v), want %d", physical, logical, err, want)
					}
					cancel()
					<-owner
				}
			})
		}
		wg.Wait()
		require.NotZero(t, done.Load(), "no answer ever won")
		require.NotZero(t, abandoned.Load(), "no cancellation ever won")
	}
}
