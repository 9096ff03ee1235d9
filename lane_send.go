package tso

import (
	"errors"
	"io"

	"github.com/tsoring/tso/batch"
)

// Unless it says otherwise, this file runs in the send seat.

// serve does whatever there is to do for the holder of the seat.
func (l *lane) serve() {
	surface := l.surface.Load() // before current: what it is about comes back first
	f := l.current.Load()
	if closing := l.closing.Load(); closing != nil {
		l.adopt(nil)
		l.failAll(*closing)
		return
	}
	if f != l.adopted {
		l.adopt(f)
	}
	if surface != nil && l.surface.CompareAndSwap(surface, nil) {
		l.failAll(*surface)
	}
	if l.sweepDue.Load() && l.sweepDue.Swap(false) {
		l.sweep(f)
	}
	if f == nil {
		return
	}
	for l.sendNext(f) {
	}
}

// adopt takes back what is in flight on the stream before, and makes f the
// stream to send on. What comes back goes in front of the queue, in order: it
// has been cut before anything there.
func (l *lane) adopt(f *flight) {
	old := l.adopted
	l.adopted = f
	if old == nil {
		return
	}
	old.stream.Retire(old.len())
	var back []*requestBatch
	old.each(func(s *flightSlot) bool {
		if s.batch.Claim(s.number) {
			back = append(back, s.batch)
			l.waiting += s.batch.Len()
		}
		return true
	})
	if len(back) == 0 {
		return
	}
	l.queue.restore(back)
	l.queued.Store(int32(l.queue.length))
	l.env.stats.resent.Add(int64(len(back)))
	l.keepTicking()
}

// sendNext sends one batch if there is one and the policy says so, and reports
// whether it is worth looking for another.
func (l *lane) sendNext(f *flight) bool {
	if l.queued.Load() == 0 && !l.cutByPolicy(f) {
		return false
	}
	if f.len() >= l.mostInFlight(f) {
		return false
	}
	b, count := l.popQueue()
	if b == nil {
		return true // every caller of the batch had gone
	}
	return l.launch(f, b, count)
}

// cutByPolicy moves what is in the ring into the queue if it is time to send it.
func (l *lane) cutByPolicy(f *flight) bool {
	linger := l.env.linger.Load()
	policy := batch.Policy{
		MaxInFlight: l.mostInFlight(f),
		Linger:      linger > 0,
		Target:      batch.MaxCount,
	}
	switch policy.Decide(l.ring.Len(), f.len(), l.flush.Load()) {
	case batch.Cut:
		return l.cut()
	case batch.Wait:
		l.startLinger(linger)
	case batch.Hold:
	}
	return false
}

// cut takes one batch out of the ring and appends it to the queue, and reports
// false if there was nothing to take.
func (l *lane) cut() bool {
	if l.lingering {
		l.lingering = false
		l.lingerTimer.Stop()
	}
	l.flush.Store(false)
	b := l.newBatch()
	if b.Fill(l.drain) == 0 {
		// A gap: a caller that has claimed its slot and not published it
		// yet. It looks for the seat after that.
		l.env.batches.Put(b)
		return false
	}
	l.moved = l.clock.Load()
	l.room.open()
	l.enqueue(b)
	return true
}

func (l *lane) newBatch() *requestBatch {
	return l.env.batches.Get().(*requestBatch) //nolint:forcetypeassert,errcheck // the pool holds nothing else
}

// freeBatch gives a batch back whose requests have all been dealt with. Its owner
// may call it.
func (l *lane) freeBatch(b *requestBatch) {
	b.Reset()
	l.env.batches.Put(b)
}

func (l *lane) enqueue(b *requestBatch) {
	l.queue.push(b)
	l.waiting += b.Len()
	l.queued.Store(int32(l.queue.length))
	l.keepTicking()
}

// dequeue takes the oldest batch out of the queue, which is not empty.
func (l *lane) dequeue() *requestBatch {
	b := l.queue.pop()
	l.waiting -= b.Len()
	l.queued.Store(int32(l.queue.length))
	return b
}

// popQueue takes the oldest batch out of the queue and returns how many timestamps it asks
// for. The requests whose callers have gone are not sent, and those behind the first one
// that one RPC cannot ask for as well stay in front of the queue, which only happens where
// some ask for several timestamps each. It returns nil if no request is left.
func (l *lane) popQueue() (b *requestBatch, count int) {
	b = l.dequeue()
	before := b.Len()
	packed, count := b.Pack(weightIfWanted)
	if gone := before - b.Len(); gone > 0 {
		l.env.stats.abandoned.Add(int64(gone))
	}
	if packed < b.Len() {
		rest := l.newBatch()
		b.Split(packed, rest)
		l.requeue(rest)
	}
	if b.Len() == 0 {
		l.freeBatch(b)
		return nil, 0
	}
	return b, count
}

// requeue puts b where dequeue has just taken a batch out.
func (l *lane) requeue(b *requestBatch) {
	l.queue.unpop(b)
	l.waiting += b.Len()
	l.queued.Store(int32(l.queue.length))
	l.keepTicking()
}

// weightIfWanted returns how many timestamps r asks for, or 0 if its caller has gone:
// then r is another call's by now.
func weightIfWanted(r *request) int {
	if r.dropIfAbandoned() {
		return 0
	}
	return int(r.weight)
}

// launch sends b, which asks for count timestamps. If the stream turns out to be broken, b
// is in flight on it all the same, and comes back with what else is.
func (l *lane) launch(f *flight, b *requestBatch, count int) bool {
	clock := l.clock.Load()
	f.add(b, uint32(count), l.env.now(), clock, l.expiryOf(b))
	f.sending.Store(clock + 1)
	l.keepTicking()
	l.env.stats.sent(count)
	err := f.stream.Send(uint32(count))
	f.sending.Store(0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.stream.Close(err) // io.EOF: it has ended, and Recv tells why
	}
	return err == nil
}

// failAll fails everything that is queued, and what is in the ring now: all of it
// is taken out before anybody is told, so that callers who come back at once are
// not failed for what was before their time.
func (l *lane) failAll(err error) {
	for left := l.waiting + l.ring.Len(); l.waiting < left && l.cut(); {
	}
	l.failQueue(err)
}

// failQueue fails everything that is queued.
func (l *lane) failQueue(err error) {
	for l.queued.Load() > 0 {
		l.failBatch(l.dequeue(), err)
	}
}

// failBatch fails the requests of b, which the caller owns.
func (l *lane) failBatch(b *requestBatch, err error) {
	for _, r := range b.Requests() {
		r.fail(err)
	}
	l.freeBatch(b)
}
