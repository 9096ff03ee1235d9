package tso

import (
	"context"
	"sync"
	"sync/atomic"
)

// The states of a request, all in one word. A finished request holds its
// timestamp there, composed as physical<<18 | logical, which is never below
// 1<<18 because physical is positive; so that finishing is one atomic swap that
// decides the race, carries the result and publishes it.
//
//	        get                 park
//	pool ────────► waiting ────────────► parked
//	  ▲               │                   │   │
//	  │               │ finish, fail      │   │ abandon
//	  │      take     ▼                   ▼   ▼
//	  ├────────── done or failed ◄────────┘   abandoned
//	  │                    recycle                │
//	  └───────────────────────────────────────────┘
//
// Two parties hold a request: its caller, and the owner of the batch (or of the
// ring's slot) that it is in. Whoever lets go last gives it back to the pool:
//
//   - done or failed: the owner let go with its swap. The caller takes the
//     result and recycles.
//   - abandoned: the caller let go with its swap (its context ended; or another part of
//     its GetTSBatch has failed, and this one was still waiting). The owner finds out when
//     it finishes, drops or sends the batch, and recycles.
//
// A caller whose context ends may therefore not recycle on its own: the receiver
// would write this call's answer into whatever call the request serves by then.
// That is how callers of PD's client come to see other calls' results, or
// (0, 0) with a nil error.
const (
	stateWaiting   uint64 = iota // queued or in flight; nobody sleeps on it
	stateParked                  // as waiting, and the caller sleeps on wake
	stateAbandoned               // the caller has gone
	stateFailed                  // finished with err
)

// stateDone and above: finished with this timestamp.
const stateDone uint64 = 1 << logicalBits

// request is one call on its way to a timestamp, and the future that the caller
// holds. Requests are pooled per client.
type request struct {
	word atomic.Uint64

	// unwaited is set while the request is a future that nobody has waited for.
	// Of two that wait, one swaps it out and is the caller; the other must touch
	// nothing. The word could not tell them apart: while the caller wakes up, the
	// word says done already, and whoever took the result then and recycled would
	// leave the caller's token to another call.
	unwaited atomic.Bool

	// weight is how many timestamps the request asks for, 1 to batch.MaxCount: neighbours,
	// of which the word gets the first. Always 1 but for parts of a GetTSBatch. Written
	// by the caller before the push, read by the batch's owner.
	weight uint16
	// step is how far apart the neighbours are. Written by the batch's owner, where weights
	// differ, before its swap to done; read by the caller after it has seen that state.
	step uint8

	// start is the lane's coarse clock when the call began. Written by the caller before
	// the push, read by the batch's owner.
	start int64

	// err is why the request failed. Written by the owner before its swap to
	// stateFailed, read by the caller after it has seen that state.
	err error

	// ctx is the caller's, and ended tells why there is no timestamp when it is done.
	// Read by the caller alone.
	ctx   context.Context
	ended func(context.Context) error

	// wake carries one token for each departure from stateParked that is not
	// the caller's own, so it never holds more than one and is empty when the
	// request is recycled. Made once per request.
	wake chan struct{}

	pool *requestPool
}

// requestPool hands out requests. It belongs to a client: a pool shared by
// clients would let a misuse in one reach the calls of another.
type requestPool struct {
	pool sync.Pool
}

func newRequestPool() *requestPool {
	p := &requestPool{}
	p.pool.New = func() any { return &request{pool: p, weight: 1, wake: make(chan struct{}, 1)} }
	return p
}

// call returns a request in stateWaiting, whose caller is going to await it.
func (p *requestPool) call(ctx context.Context) *request {
	r := p.pool.Get().(*request) //nolint:forcetypeassert,errcheck // the pool holds nothing else
	r.ctx = ctx
	r.word.Store(stateWaiting)
	return r
}

// get returns a request in stateWaiting that is a future.
func (p *requestPool) get(ctx context.Context) *request {
	r := p.call(ctx)
	r.unwaited.Store(true)
	return r
}

// settled returns a future that has failed before it was queued.
func (p *requestPool) settled(err error) *request {
	r := p.get(context.Background())
	r.fail(err)
	return r
}

// recycle gives the request back. Only who let go last may call it.
func (r *request) recycle() {
	r.ctx, r.ended, r.err = nil, nil, nil
	if poolFutures {
		r.pool.pool.Put(r)
	}
}

// finish hands the caller its timestamp. Only the batch's owner may call it, and
// must not touch the request afterwards.
func (r *request) finish(ts uint64) { r.let(r.word.Swap(ts)) }

// fail hands the caller an error. Only the batch's owner may call it, and must
// not touch the request afterwards.
func (r *request) fail(err error) {
	r.err = err
	r.let(r.word.Swap(stateFailed)) // publishes err
}

// let does what is left to do for the owner of a request that was in state
// before: wake the caller, or clean up for one that has gone.
func (r *request) let(before uint64) {
	switch before {
	case stateParked:
		r.wake <- struct{}{} // never blocks: see wake
	case stateAbandoned:
		r.recycle()
	}
}

// dropIfAbandoned recycles a request that nobody waits for any more, and reports
// whether it did. Only the batch's owner may call it.
func (r *request) dropIfAbandoned() bool {
	if r.word.Load() != stateAbandoned {
		return false
	}
	r.recycle()
	return true
}

// Wait implements TSFuture.
func (r *request) Wait() (physical, logical int64, err error) {
	if !r.unwaited.Swap(false) {
		return 0, 0, ErrFutureWaited
	}
	return r.await()
}

// await returns the result and recycles the request. One goroutine may call it, once.
func (r *request) await() (physical, logical int64, err error) {
	first, _, err := r.awaitRange()
	// ExtractTS, in whose place this is small enough to be inlined.
	return int64(first >> logicalBits), int64(first & (1<<logicalBits - 1)), err
}

// awaitRange is await for a request that may ask for several timestamps: it returns the
// first of them and how far apart they are, which is 0 if weights did not differ.
func (r *request) awaitRange() (first uint64, step uint8, err error) {
	if r.word.CompareAndSwap(stateWaiting, stateParked) {
		if ctx, ended := r.ctx, r.ended; !r.park(ctx) {
			return 0, 0, ended(ctx)
		}
	}
	if word := r.word.Load(); word >= stateDone {
		first, step = word, r.step
	} else {
		err = r.err
	}
	r.recycle()
	return first, step, err
}

// abandon lets go of a request on which the caller does not sleep.
func (r *request) abandon() {
	if !r.word.CompareAndSwap(stateWaiting, stateAbandoned) {
		r.recycle() // it was finished before
	}
}

// park sleeps until the request is finished, and reports false if ctx has ended
// first: then the request is the owner's, and must not be touched.
func (r *request) park(ctx context.Context) bool {
	done := ctx.Done()
	if done == nil {
		<-r.wake
		return true
	}
	select {
	case <-r.wake:
		return true
	case <-done:
		if r.word.CompareAndSwap(stateParked, stateAbandoned) {
			return false
		}
		// The owner was faster, and its token is on the way.
		<-r.wake
		return true
	}
}
