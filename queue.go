package tso

// batchQueue is a first-in, first-out queue of batches. Its storage is a ring that grows
// to twice the most that have been in it at a time since the last restore, and does not
// allocate otherwise. One goroutine at a time may use it.
type batchQueue struct {
	slots  []*requestBatch // a power of two, or none
	first  int             // the place of the oldest
	length int
}

// minQueue is the storage of a queue that has been used. A healthy lane has one batch or
// two in it.
const minQueue = 8

func (q *batchQueue) at(i int) **requestBatch { return &q.slots[(q.first+i)&(len(q.slots)-1)] }

// oldest returns the batch that has been in the queue for longest. It is not empty.
func (q *batchQueue) oldest() *requestBatch { return q.slots[q.first] }

func (q *batchQueue) push(b *requestBatch) {
	if q.length == len(q.slots) {
		q.restore(nil)
	}
	*q.at(q.length) = b
	q.length++
}

// pop takes out the oldest batch. The queue is not empty.
func (q *batchQueue) pop() *requestBatch {
	b := q.slots[q.first]
	q.slots[q.first] = nil
	q.first = (q.first + 1) & (len(q.slots) - 1)
	q.length--
	return b
}

// unpop puts b in front of the others, into the room that a pop has left.
func (q *batchQueue) unpop(b *requestBatch) {
	q.first = (q.first - 1) & (len(q.slots) - 1)
	q.slots[q.first] = b
	q.length++
}

// restore puts batches in front of the others, in order, into storage that has room for
// more.
func (q *batchQueue) restore(back []*requestBatch) {
	size := minQueue
	for size <= len(back)+q.length {
		size *= 2
	}
	slots := make([]*requestBatch, size)
	n := copy(slots, back)
	for i := range q.length {
		slots[n+i] = *q.at(i)
	}
	*q = batchQueue{slots: slots, length: n + q.length}
}
