package tso

import (
	"sync/atomic"
	"time"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/internal/wire"
)

// maxInFlight is the most RPCs that a stream can have unanswered. A power of two.
const maxInFlight = batch.MaxDepth

// tsoStream is what a lane needs of a stream to PD.
//
// Send and Retire are the send side: one goroutine at a time, the holder of the
// lane's send seat. Recv is the receive side: one goroutine at a time. The two
// sides and Close may run concurrently.
type tsoStream interface {
	// Send asks for count timestamps. It does not block: a stream whose
	// peer does not read must take maxInFlight requests all the same. After
	// an error the stream is broken and Recv returns. An interceptor of the
	// program's that blocks in it must return when the stream is closed.
	Send(count uint32) error
	// Retire says that nothing will be sent any more, and that the last
	// unanswered requests have no answer yet.
	Retire(unanswered int)

	// Recv waits for the next answer, in the order of the requests.
	Recv(*wire.Response) error

	// Close ends the stream: Recv returns, with cause or an error of the
	// transport. Idempotent.
	Close(cause error)
}

// requestBatch is a batch of a lane.
type requestBatch = batch.Batch[*request]

// flight is one stream and the batches in flight on it, first in, first out:
// PD answers the requests of a stream strictly in their order.
//
// The queue has one producer, the holder of the send seat, and one consumer, the
// stream's receiver. A slot between head and tail belongs to nobody: its batch
// is claimed by whoever wants to finish or to move it.
type flight struct {
	stream tsoStream
	url    string // of the member that it leads to
	// serial is set where only one RPC may be unanswered, and relayed where a member
	// passes them on to another one. Written once.
	serial, relayed bool
	// slowest is how long an answer of the slowest member takes, where there are several;
	// a longer time is forgotten by and by. Of the receiver.
	slowest int64
	// depth is how many may be, as the round trip suggests. Written by the receiver.
	depth atomic.Int32

	// sending is when the Send under way began, on the coarse clock and plus one, 0 while
	// there is none. Written by the send side, read by the tick; see oversee.
	sending atomic.Int64
	// tail counts the batches sent. Written by the send side after the slot,
	// and before the request leaves, so that its answer finds the slot.
	tail atomic.Uint64
	_    [48]byte

	// head counts the answers dealt with. Written by the receiver.
	head atomic.Uint64
	_    [56]byte

	slots [maxInFlight]flightSlot
}

// flightSlot is one batch in flight. Written by the send side while the slot is
// outside of [head, tail); after that only the fields that say so
// change until the receiver has moved head past it.
type flightSlot struct {
	batch  *requestBatch
	number uint64 // for batch.Claim
	count  uint32 // the timestamps asked for
	// sentAt is when it was sent, and sentTick the same on the coarse clock. Atomics,
	// since the tick reads them too, of a slot that may be used again meanwhile: then it
	// finds the later time.
	sentAt, sentTick atomic.Int64
	// expiry is when the budget of the first request ends, on the coarse
	// clock. The send side's alone, which moves it when that request goes.
	expiry int64
	// granted is an answer that has come while the batch was lent. Written by
	// the receiver before batch.Settle, read by the borrower after
	// batch.Return has told of it.
	granted batch.Range
}

// newFlight returns a flight on the stream of a.
func newFlight(a *attempt) *flight {
	f := &flight{
		stream:  a.stream,
		url:     a.via,
		serial:  a.over != nil,
		relayed: a.over != nil || !a.isDirect(),
		slowest: a.slowest,
	}
	f.deepen(batch.MinDepth)
	return f
}

// deepen sets how many RPCs may be unanswered. Receiver.
func (f *flight) deepen(depth int32) {
	if f.serial {
		depth = 1
	}
	if depth != f.depth.Load() {
		f.depth.Store(depth)
	}
}

// leastPatience returns for how long the stream may be silent at least.
func (f *flight) leastPatience() time.Duration {
	if f.relayed {
		return relayPatience
	}
	return minPatience
}

// len returns how many RPCs are unanswered.
func (f *flight) len() int {
	head := f.head.Load()
	return int(f.tail.Load() - head)
}

// add puts b, owned by the caller and good for count timestamps, behind the batches in
// flight and gives it up. Send side; there is room.
func (f *flight) add(b *requestBatch, count uint32, sentAt, sentTick, expiry int64) {
	tail := f.tail.Load()
	s := &f.slots[tail%maxInFlight]
	s.batch, s.count, s.expiry = b, count, expiry
	s.sentAt.Store(sentAt)
	s.sentTick.Store(sentTick)
	s.number = b.Launch()
	f.tail.Store(tail + 1) // publishes the slot; pairs with the Loads in oldest and each
}

// oldest returns the slot of the next answer, nil if none is expected. Receiver or,
// for a look at its atomics, the tick, which may find that the slot has been answered
// already, and is used again.
func (f *flight) oldest() *flightSlot {
	head := f.head.Load()
	if head == f.tail.Load() {
		return nil
	}
	return &f.slots[head%maxInFlight]
}

// answered removes the oldest slot. Receiver.
func (f *flight) answered() { f.head.Store(f.head.Load() + 1) }

// each calls fn for the slots in flight, oldest first, until fn returns false.
// Send side. The receiver may answer a slot meanwhile: fn must claim its batch
// before it touches it.
func (f *flight) each(fn func(*flightSlot) bool) {
	for i := f.head.Load(); i != f.tail.Load(); i++ {
		if !fn(&f.slots[i%maxInFlight]) {
			return
		}
	}
}
