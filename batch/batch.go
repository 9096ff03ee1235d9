// Package batch holds what a lane knows about groups of requests: the group
// itself, the policy that says when to cut one, and how the range of
// timestamps in one response is shared out over its requests.
//
// Nothing here knows gRPC, a clock or what a request is.
package batch

import "sync/atomic"

// MaxCount is the largest number of timestamps that one RPC asks for. PD's
// upstream client uses the same bound. PD itself fails a request that cannot
// fit below 2^18 after its suffix bits are applied.
const MaxCount = 10_000

const (
	logicalBits   = 18
	maxSuffixBits = 4
)

// A batch of MaxCount always fits, whatever the suffix: this constant is
// negative, and does not compile, if it does not.
const _ uint = 1<<logicalBits>>maxSuffixBits - MaxCount

// firstStorage is the room of a new batch. Small, so that a client with many
// dc-locations and few callers stays small; it doubles up to MaxCount, and
// keeps what it has grown to for the next use.
const firstStorage = 64

// Batch is a group of at most MaxCount requests that is filled, sent and
// finished once, and then used again. A request may ask for several timestamps: Pack
// sees to it that those of a batch that is sent are no more than MaxCount together.
//
// A batch has one owner at a time. While it is filled or waits to be sent
// (again), that is the holder of the lane's send seat, and the methods without a
// launch number are the owner's alone. Launch gives it up: from then on it belongs
// to whoever wins Claim with the number that Launch returned, and only the winner
// may touch its requests. The receiver and a move to another stream compete in
// this way, and each request is finished by one of them.
//
//	        Launch               Borrow
//	owned ─────────► in flight ─────────► lent ─────────► settled
//	  ▲                │    ▲              │ │    Settle     │
//	  │ Claim, Settle  │    └──────────────┘ │               │
//	  ├────────────────┘        Return       │ Keep          │ Return, Keep
//	  └──────────────────────────────────────┴───────────────┘
//
// Borrow lets the holder of the send seat take single requests out of a batch in
// flight. The receiver does not wait for it: Settle leaves the answer to the
// borrower, who finds out at Return.
//
// A Batch must not be copied after first use. Each step in the picture
// synchronizes before those that follow it.
type Batch[R any] struct {
	// launch counts launches, times four, plus one of the states below. It
	// never repeats, so that a Claim that comes late cannot win a batch that
	// has been used again since.
	launch atomic.Uint64

	requests []R
}

// The states of a batch, the low bits of launch.
const (
	owned uint64 = iota
	inFlight
	lent
	settled
	states
)

// Fill appends what take delivers, until the batch is full or take delivers
// less than it had room for, and returns the number of requests appended. take
// is given room for new requests and returns how many it wrote there. It
// allocates only while the batch grows for the first time.
func (b *Batch[R]) Fill(take func(room []R) int) int {
	before := len(b.requests)
	for len(b.requests) < MaxCount {
		b.grow()
		room := b.requests[len(b.requests):cap(b.requests)]
		n := take(room)
		b.requests = b.requests[:len(b.requests)+n]
		if n < len(room) {
			break
		}
	}
	return len(b.requests) - before
}

// grow makes room for at least one more request, at most MaxCount in all.
func (b *Batch[R]) grow() {
	if len(b.requests) < cap(b.requests) {
		return
	}
	larger := make([]R, len(b.requests), min(max(2*cap(b.requests), firstStorage), MaxCount))
	copy(larger, b.requests)
	b.requests = larger
}

// Filter keeps the requests, in order, for which keep is true. The others are
// forgotten: keep has dealt with them.
func (b *Batch[R]) Filter(keep func(R) bool) {
	kept := b.requests[:0]
	for _, r := range b.requests {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	clear(b.requests[len(kept):])
	b.requests = kept
}

// Pack brings what one RPC can ask for to the front, in order. weigh tells how many
// timestamps a request asks for, at most MaxCount, or 0 if the request is to be forgotten:
// then weigh has dealt with it. Pack returns the number of requests in front and how many
// timestamps they ask for; behind them is what did not fit, for Split.
func (b *Batch[R]) Pack(weigh func(R) int) (requests, timestamps int) {
	packed, behind := b.requests[:0], b.requests[:0]
	for i, r := range b.requests {
		weight := weigh(r)
		if timestamps+weight > MaxCount {
			behind = b.requests[i:]
			break
		}
		if weight > 0 {
			timestamps += weight
			packed = append(packed, r)
		}
	}
	requests = len(packed)
	packed = append(packed, behind...)
	clear(b.requests[len(packed):])
	b.requests = packed
	return requests, timestamps
}

// Split moves all but the first n requests, in order, to rest, which is empty and the
// caller's as well.
func (b *Batch[R]) Split(n int, rest *Batch[R]) {
	moved := b.requests[n:]
	if cap(rest.requests) < len(moved) {
		rest.requests = make([]R, 0, len(moved))
	}
	rest.requests = append(rest.requests[:0], moved...)
	clear(moved)
	b.requests = b.requests[:n]
}

// Len returns the number of requests.
func (b *Batch[R]) Len() int { return len(b.requests) }

// Requests returns the requests in the order in which they were taken. The
// slice is the batch's own.
func (b *Batch[R]) Requests() []R { return b.requests }

// Launch gives the batch up to whoever claims the launch that it returns.
func (b *Batch[R]) Launch() (number uint64) {
	before := b.launch.Load()
	number = before - before%states + states + inFlight
	b.launch.Store(number) // publishes the requests; pairs with the swaps below
	return number
}

// Claim makes the caller the batch's owner, and reports false if somebody else
// has been faster, or if the batch has been claimed and launched again since. Any
// goroutine may call it.
func (b *Batch[R]) Claim(number uint64) bool {
	return b.launch.CompareAndSwap(number, number-inFlight+owned)
}

// Settle is Claim for the receiver of the answer. If the batch is lent, it reports
// false and the answer becomes the borrower's to share out, from where the receiver
// has put it before.
func (b *Batch[R]) Settle(number uint64) bool {
	base := number - inFlight
	for {
		switch b.launch.Load() {
		case number:
			if b.Claim(number) {
				return true
			}
		case base + lent:
			if b.launch.CompareAndSwap(base+lent, base+settled) {
				return false
			}
		default:
			return false
		}
	}
}

// Borrow lets the caller touch the requests of a batch in flight until Return or
// Keep, and reports false if it has been claimed. One borrower at a time.
func (b *Batch[R]) Borrow(number uint64) bool {
	return b.launch.CompareAndSwap(number, number-inFlight+lent)
}

// Return puts a borrowed batch back in flight. If its answer has come meanwhile it
// reports false: the batch is the caller's, and the answer to be shared out.
func (b *Batch[R]) Return(number uint64) bool {
	if b.launch.CompareAndSwap(number-inFlight+lent, number) {
		return true
	}
	b.Keep(number)
	return false
}

// Keep makes the borrower the batch's owner, whether its answer has come or not.
func (b *Batch[R]) Keep(number uint64) { b.launch.Store(number - inFlight + owned) }

// Reset empties the batch for its next use, and forgets its requests so that
// they can be collected.
func (b *Batch[R]) Reset() {
	clear(b.requests)
	b.requests = b.requests[:0]
}
