package tsotest

import (
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
)

// answer is a response and its parts in one piece of memory, to be filled and
// sent again and again: the codec is done with it when SendMsg returns.
type answer struct {
	resp   pdpb.TsoResponse
	header pdpb.ResponseHeader
	ts     pdpb.Timestamp
}

func (a *answer) init(clusterID uint64) {
	a.header.ClusterId = clusterID
	a.resp.Header = &a.header
	a.resp.Timestamp = &a.ts
}

func (a *answer) set(count uint32, last stamps) *pdpb.TsoResponse {
	a.resp.Count = count
	a.ts.Physical, a.ts.Logical, a.ts.SuffixBits = last.physical, last.logical, last.bits
	return &a.resp
}

// item is one answer on its way, or the end of the stream.
type item struct {
	due      time.Time       // not before; zero for at once
	released <-chan struct{} // not before it is closed; nil for no wait

	count  uint32
	stamps stamps
	msg    any // sent in place of count and stamps, if not nil
	copies int

	end bool
	err error // of the end; never nil then
}

// newItem returns an item that waits as the reply and the latency want.
func (st *stream) newItem(reply *Reply) item {
	it := item{copies: 1}
	if d := reply.Delay + st.latency(); d > 0 {
		it.due = time.Now().Add(d)
	}
	if reply.Hold {
		it.released = st.member.gate.nextRelease()
	}
	return it
}

// latency is what the members on the way add up to.
func (st *stream) latency() time.Duration {
	d := st.member.gate.latency.Load()
	if st.target != st.member {
		d += st.target.gate.latency.Load()
	}
	return time.Duration(d)
}

// queue is a list of items from reader to writer. The writer takes all of them
// at once and gives its old slice back, so two slices serve for ever.
type queue struct {
	mu    sync.Mutex // held for an append or a swap
	items []item     // guarded by mu
	wake  chan struct{}
}

func (q *queue) init() { q.wake = make(chan struct{}, 1) }

// push appends an item and makes sure the writer looks.
func (st *stream) push(it item) {
	q := &st.queue
	q.mu.Lock()
	q.items = append(q.items, it)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default: // the writer has yet to look
	}
}

func (q *queue) swap(spare []item) []item {
	clear(spare) // drop what its items point to
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = spare[:0]
	return items
}

// write is the writer: it returns what ends the stream.
func (st *stream) write() error {
	var items []item
	for {
		if err := st.await(st.queue.wake); err != nil {
			return err
		}
		items = st.queue.swap(items)
		for i := range items {
			if err := st.emit(&items[i]); err != nil {
				return err
			}
		}
	}
}

// emit sends one item when its time has come. The end of a stream waits as an
// answer does: a frozen member ends nothing.
func (st *stream) emit(it *item) error {
	if err := st.delay(it); err != nil {
		return err
	}
	if it.end {
		return it.err
	}
	return st.send(it)
}

// delay waits for all that an item waits for.
func (st *stream) delay(it *item) error {
	if it.released != nil {
		if err := st.await(it.released); err != nil {
			return err
		}
	}
	if !it.due.IsZero() {
		if err := st.sleepUntil(it.due); err != nil {
			return err
		}
	}
	for _, m := range [...]*member{st.member, st.target} {
		for ch := m.gate.shut(); ch != nil; ch = m.gate.shut() {
			if err := st.await(ch); err != nil {
				return err
			}
		}
	}
	return nil
}

func (st *stream) sleepUntil(due time.Time) error {
	d := time.Until(due)
	if d <= 0 {
		return nil
	}
	if st.timer == nil {
		st.timer = time.NewTimer(d)
	} else {
		st.timer.Reset(d)
	}
	defer st.timer.Stop()
	return awaitOn(st, st.timer.C)
}

func (st *stream) await(ch <-chan struct{}) error { return awaitOn(st, ch) }

// awaitOn waits for a channel, or for what ends the stream.
func awaitOn[T any](st *stream, ch <-chan T) error {
	select {
	case <-ch:
		return nil
	case <-st.Context().Done():
		return st.Context().Err()
	case err := <-st.kill:
		return st.killed(err)
	}
}

// killed ends the stream for a cause from outside. The turn is taken and kept:
// the reader may be in the middle of sending and will not send again.
func (st *stream) killed(err error) error {
	select {
	case st.turn <- struct{}{}:
	case <-st.Context().Done():
	}
	return err
}

// send sends an item now, as often as it says.
func (st *stream) send(it *item) error {
	msg := it.msg
	if msg == nil {
		msg = st.answer.set(it.count, it.stamps)
	}
	for range it.copies {
		if err := st.SendMsg(msg); err != nil {
			return err
		}
	}
	return nil
}
