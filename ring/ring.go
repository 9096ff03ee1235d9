// Package ring provides a bounded queue from many producers to one consumer
// whose operations take no lock and allocate nothing.
//
// It is the front door of a lane: thousands of goroutines push requests, and
// whoever holds the lane's send seat drains them into a batch. The package
// knows nothing of either.
package ring

import (
	"sync/atomic"
	"unsafe"
)

// lineSize is the distance kept between fields that different sides write. It
// is two 64-byte lines, as in sync.Pool: x86 prefetches lines in pairs, and
// some arm64 and ppc64 parts have lines of 128 bytes.
const lineSize = 128

// MPSC is a bounded first-in, first-out queue for many producers and one
// consumer at a time.
//
// TryPush and Len may be called by any number of goroutines. Drain may be
// called by one goroutine at a time, and so may Grow: the consumer is a role, not a goroutine,
// and moves between them as long as the calls are ordered by something that
// synchronizes (the lane's send seat, a compare-and-swap word, is that).
//
// Nothing blocks: a push into a full ring and a drain of an empty one say so
// and return. A drained slot no longer refers to its value. An MPSC must not be
// copied after first use. In the terminology of the Go memory model, TryPush of
// a value synchronizes before the Drain that returns it, and the Drain that
// empties a slot synchronizes before the TryPush that fills it again.
//
// The algorithm comes from Dmitry Vyukov's bounded queue with a sequence number
// per slot (https://www.1024cores.net/home/lock-free-algorithms/queues/bounded-mpmc-queue),
// with the consumer's side reduced to one role that sweeps and gives the slots
// back together.
//
// # Progress
//
// TryPush is lock-free: its loop goes round again only after another producer
// has advanced the tail. A producer that the scheduler takes off the processor
// between claiming its slot (the compare-and-swap of tail) and publishing it
// (the store of the slot's turn) hides the values behind it until it runs
// again, which no lock-free queue with a shared order can avoid; Drain takes
// what lies before the gap, other producers go on filling slots behind it, and
// it is the late producer's business to look for a consumer once it has
// published. A caller that only pushes when it will look afterwards, as the lane
// does, therefore loses no value.
//
// It is not for use between two single goroutines (a channel does as well) and
// not for values that must be taken out of order.
type MPSC[T any] struct {
	// | line | fields      | written by                    | read by           |
	// |------|-------------|-------------------------------|-------------------|
	// | 0    | table       | the consumer, once (Grow)     | all               |
	// | 1    | tail        | producers, by compare-and-swap | producers, Len    |
	// | 2    | head        | the consumer, once a sweep    | all               |
	table atomic.Pointer[table[T]]
	_     [lineSize - unsafe.Sizeof(uintptr(0))]byte

	// tail is the position that the next producer claims.
	tail atomic.Uint64
	_    [lineSize - 8]byte

	// head is the position of the next value to take. It alone tells producers
	// what is free again, so that a sweep writes one word for all that it has
	// taken, and costs a processor that pushes one cache miss on this line;
	// with a word per slot for it (as in Vyukov's queue) it is one exchange
	// per value more, and a value takes 1.3x to 1.5x the time.
	head atomic.Uint64
	_    [lineSize - 8]byte
}

// table is the places of the ring, for the positions from the first on. A ring that has
// grown keeps those before it in the table before. Nothing in it changes but the slots.
type table[T any] struct {
	slots []slot[T]
	mask  uint64
	first uint64
	old   *table[T]
}

// at returns the slot of position p, which is not before head, and the turn that says that
// its value is there: not p+1 but that of the table's own count, so that 0 is nobody's and
// slots need not be set up. A megabyte of them takes a grown ring no time.
func (t *table[T]) at(p uint64) (s *slot[T], turn uint64) {
	if int64(p-t.first) < 0 {
		t = t.old
	}
	return &t.slots[p&t.mask], p - t.first + 1
}

// slot is one place in the ring. At position p (p counts pushes, the place is p
// modulo the capacity) the slot belongs
//
//	to nobody, while tail <= p < head+capacity
//	to the producer that has moved tail from p to p+1
//	to the consumer, from turn == p's on (see at), until it moves head past p
//
// so val has one owner at any time and needs no atomicity of its own. The turn that
// a slot keeps from the lap before, by the capacity less, is never the one of this lap.
// Neighbouring slots share a line: producers that push together then touch a
// quarter of the lines, and the sweep reads whole lines.
type slot[T any] struct {
	turn atomic.Uint64
	val  T
}

// New returns an empty ring for at least capacity values: the next power of
// two, and not less than two. It allocates the slots here, and nothing later but for
// Grow.
func New[T any](capacity int) *MPSC[T] {
	return newAt[T](capacity, 0)
}

// newAt is New with the first position given, so that tests can begin next to
// the wrap-around of the positions.
func newAt[T any](capacity int, start uint64) *MPSC[T] {
	r := &MPSC[T]{}
	r.table.Store(newTable[T](capacity, start))
	r.tail.Store(start)
	r.head.Store(start)
	return r
}

func newTable[T any](capacity int, first uint64) *table[T] {
	size := uint64(2)
	for size < uint64(max(capacity, 0)) {
		size *= 2
	}
	return &table[T]{slots: make([]slot[T], size), mask: size - 1, first: first}
}

// Grow makes room for at least capacity values, and reports false if there is that
// already, or the ring has grown before. One goroutine at a time may call it or Drain.
func (r *MPSC[T]) Grow(capacity int) bool {
	t := r.table.Load()
	if capacity <= len(t.slots) || t.old != nil {
		return false
	}
	// Until the head moves, which only the consumer does, no producer can claim a
	// position from this one on by the old table's measure: these are the new one's.
	larger := newTable[T](capacity, r.head.Load()+uint64(len(t.slots)))
	larger.old = t
	r.table.Store(larger) // pairs with the Load in TryPush
	return true
}

// Cap returns the number of values that fit.
func (r *MPSC[T]) Cap() int { return len(r.table.Load().slots) }

// Len returns the number of claimed places: values that Drain can take, and
// values that a producer is about to publish. Beside concurrent calls it is a
// moment's impression, with two properties that callers rely on: a producer
// whose TryPush has returned and whose value nobody has taken sees at least 1,
// and so does every goroutine that synchronizes after that TryPush.
func (r *MPSC[T]) Len() int {
	// head first: tail never lies behind a head read earlier, so that the
	// difference cannot be negative.
	head := r.head.Load()
	return int(r.tail.Load() - head)
}

// TryPush appends v and reports whether there was room. It never blocks and
// does not allocate.
func (r *MPSC[T]) TryPush(v T) bool {
	for {
		// tail first: what lies between a tail and a head read later was
		// full at the time of that read if it is the whole ring. Once there
		// is room at pos there is until the swap, since head only grows; and
		// if pos is not the tail any more, the swap fails. Only a pos that
		// even head has overtaken is below it, hence the sign.
		//
		// Pairs with the Store in Drain: the value of a lap ago is out.
		pos := r.tail.Load()
		head := r.head.Load()
		// head before the table: if the table is one that has been replaced since,
		// so is the head, and by that measure pos is one of this table's. See Grow.
		t := r.table.Load()
		if int64(pos-head) > int64(t.mask) {
			return false
		}
		// Winning this swap makes the slot ours until the store below.
		if r.tail.CompareAndSwap(pos, pos+1) {
			s, turn := t.at(pos)
			s.val = v
			// Publishes val; pairs with the Load in Drain.
			s.turn.Store(turn)
			return true
		}
	}
}

// Drain moves values into dst, oldest first, until dst is full or the next
// slot is not published, and returns how many it moved. It never blocks and
// does not allocate. One goroutine at a time may call it.
func (r *MPSC[T]) Drain(dst []T) int {
	var zero T
	t, head := r.table.Load(), r.head.Load()
	n := 0
	for n < len(dst) {
		s, turn := t.at(head)
		// Pairs with the Store in TryPush: val is complete if the turn
		// says that it is there.
		if s.turn.Load() != turn {
			break
		}
		dst[n] = s.val
		s.val = zero
		head++
		n++
	}
	if n > 0 {
		// Gives the slots back to producers for the next lap; pairs with
		// the Load in TryPush.
		r.head.Store(head)
	}
	return n
}
