package tsotest

import (
	"cmp"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
)

// watchStream is one stream of watches, of a key each.
//
// Its reader takes requests and hands them on, whatever the member suffers from. All else is done
// by the handler's own goroutine: it looks at requests and at what is known, makes answers of
// that, and sends them in this order when each one's time has come.
type watchStream struct {
	grpc.ServerStream
	member   *member
	ended    uint64            // view.ended when it began
	requests chan watchRequest // the last one has an end

	// The handler's goroutine's own.
	taken   []watchRequest // and not looked at yet
	begun   bool           // it was not refused
	keys    []*watchedKey  // in the order of their numbers
	created int64          // keys that were watched on it, the number of the last
	seen    etcdState      // how far it has looked
	out     []outgoing
	alarm   alarm
}

// watchedKey is one watch.
type watchedKey struct {
	key   string
	id    int64
	next  int64     // the first revision that has not been looked at
	began int64     // what had happened by then is told at once
	since time.Time // when it began
}

// outgoing is an answer on its way, or the error that ends the stream in its place.
type outgoing struct {
	due time.Time
	msg rawMessage
	err error
}

// lookout is what a stream waits for.
type lookout struct {
	changed <-chan struct{} // there is something new
	shut    <-chan struct{} // its member goes on; nil if it does anyway
	next    time.Time       // something is due; zero for nothing
	end     error           // nothing: it ends
}

// until notes that something is due at t.
func (l *lookout) until(t time.Time) {
	if !t.IsZero() && (l.next.IsZero() || t.Before(l.next)) {
		l.next = t
	}
}

func newWatchStream(grpcStream grpc.ServerStream, m *member) *watchStream {
	e := m.server.etcd
	e.mu.Lock()
	defer e.mu.Unlock()
	return &watchStream{
		ServerStream: grpcStream,
		member:       m,
		ended:        m.view.ended,
		seen:         m.view.state(e, time.Now()),
		requests:     make(chan watchRequest, 1),
	}
}

// read is the reader.
func (w *watchStream) read() {
	for {
		r := w.receive()
		select {
		case w.requests <- r:
		case <-w.Context().Done():
			return
		}
		if r.end != nil {
			return
		}
	}
}

func (w *watchStream) receive() watchRequest {
	var message rawMessage
	if err := w.RecvMsg(&message); err != nil {
		return watchRequest{end: err} // io.EOF when the client has half-closed
	}
	r, err := decodeWatch(message)
	if err != nil {
		return watchRequest{end: err}
	}
	if r.progress {
		w.member.progress.Add(1)
	}
	return r
}

// serve is the handler's: it returns what ends the stream.
func (w *watchStream) serve() error {
	defer w.alarm.stop()
	for {
		now := time.Now()
		answers, l := w.look(now)
		if l.end != nil {
			return l.end
		}
		for _, a := range answers {
			w.push(a, now)
		}
		if err := w.send(now, &l); err != nil {
			return err
		}
		select {
		case r := <-w.requests:
			w.taken = append(w.taken, r)
		case <-l.changed:
		case <-l.shut:
		case <-w.alarm.at(l.next):
		case <-w.Context().Done():
			return w.Context().Err()
		}
	}
}

// look returns what there is to say, unless the member says nothing. Requests come first: a member
// that goes on answers what it was asked before it learns what it has missed.
func (w *watchStream) look(now time.Time) (answers []*WatchAnswer, l lookout) {
	e, v := w.member.server.etcd, &w.member.view
	e.mu.Lock()
	defer e.mu.Unlock()
	l.changed = e.changed
	if v.ended != w.ended {
		l.end = io.EOF
		return nil, l
	}
	// Looked at under mu: what changes once the member was held is not told.
	if l.shut = w.member.gate.shut(); l.shut == nil && v.held {
		l.shut = e.changed
	}
	if l.shut != nil {
		return nil, l
	}
	if !w.begun && v.refusal != nil {
		l.end = v.refusal
		return nil, l
	}
	w.begun = true
	for _, r := range w.taken {
		if r.end != nil {
			l.end = r.end
			return nil, l
		}
		answers = w.handle(answers, r, now)
	}
	w.taken = w.taken[:0]
	w.seen = v.state(e, now)
	l.until(v.catchUp(now))
	asked := len(answers)
	for _, k := range w.keys {
		answers = w.tell(answers, k, now, &l)
	}
	slices.SortStableFunc(answers[asked:], func(a, b *WatchAnswer) int {
		return cmp.Compare(a.Events[0].Revision, b.Events[0].Revision)
	})
	return answers, l
}

// handle answers a request. etcd.mu is held.
func (w *watchStream) handle(answers []*WatchAnswer, r watchRequest, now time.Time) []*WatchAnswer {
	switch {
	case r.create:
		return w.create(answers, r, now)
	case r.progress && w.upToDate():
		progress := w.member.answer(w.seen)
		progress.WatchID = -1
		return append(answers, progress)
	default:
		return answers // etcd has no answer then
	}
}

// create begins to watch a key. etcd says that it does before it finds that it cannot.
func (w *watchStream) create(answers []*WatchAnswer, r watchRequest, now time.Time) []*WatchAnswer {
	w.seen = w.member.view.state(w.member.server.etcd, now)
	w.created++
	created := w.member.answer(w.seen)
	created.Created, created.WatchID = true, w.created
	answers = append(answers, created)
	if r.from != 0 && r.from < w.seen.compacted {
		canceled := w.member.answer(w.seen)
		canceled.Canceled, canceled.WatchID = true, w.created
		canceled.CompactRevision, canceled.Revision = w.seen.compacted, 0
		return append(answers, canceled)
	}
	if r.from <= 0 {
		r.from = w.seen.revision + 1
	}
	w.keys = append(w.keys, &watchedKey{key: r.key, id: w.created, next: r.from, began: w.seen.revision, since: now})
	return answers
}

// upToDate reports whether all that has been seen has been told.
func (w *watchStream) upToDate() bool {
	return !slices.ContainsFunc(w.keys, func(k *watchedKey) bool { return k.next <= w.seen.revision })
}

// tell says what has happened to a key: one answer for each change, but for those before it was
// watched, which come together. etcd.mu is held.
func (w *watchStream) tell(answers []*WatchAnswer, k *watchedKey, now time.Time, l *lookout) []*WatchAnswer {
	changes := w.member.server.etcd.between(k.key, k.next, w.seen.revision)
	for len(changes) > 0 {
		n, due := 1, changes[0].at
		if changes[0].Revision <= k.began {
			n, due = firstFrom(changes, k.began+1), k.since
		}
		if due = due.Add(w.member.view.delay); due.After(now) {
			l.until(due)
			return answers
		}
		answer := w.member.answer(w.seen)
		answer.WatchID = k.id
		for _, c := range changes[:n] {
			answer.Events = append(answer.Events, c.WatchEvent)
		}
		answers = append(answers, answer)
		k.next = changes[n-1].Revision + 1
		changes = changes[n:]
	}
	k.next = max(k.next, w.seen.revision+1)
	return answers
}

// push queues an answer as the script wants it, behind the latency.
func (w *watchStream) push(answer *WatchAnswer, now time.Time) {
	err := w.member.server.edit(w.member, answer)
	if err == nil && answer.Drop {
		return
	}
	due := now.Add(time.Duration(w.member.gate.latency.Load()))
	w.out = append(w.out, outgoing{due: due, msg: answer.encode(), err: err})
}

// send sends what is due, while the member is not held.
func (w *watchStream) send(now time.Time, l *lookout) error {
	for l.shut == nil && len(w.out) > 0 {
		first := w.out[0]
		if first.due.After(now) {
			l.until(first.due)
			return nil
		}
		if first.err != nil {
			return first.err
		}
		if err := w.SendMsg(first.msg); err != nil {
			return err
		}
		w.out = w.out[1:]
	}
	return nil
}

// alarm is a timer that is made when it is first needed.
type alarm struct{ timer *time.Timer }

// at returns a channel that is ready at t; never if t is zero.
func (a *alarm) at(t time.Time) <-chan time.Time {
	switch {
	case t.IsZero():
		return nil
	case a.timer == nil:
		a.timer = time.NewTimer(time.Until(t))
	default:
		a.timer.Reset(time.Until(t))
	}
	return a.timer.C
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
