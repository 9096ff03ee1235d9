package pdpath

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// chunkSize is far more than a request for timestamps or an answer has.
	chunkSize = 16 << 10
	// chunksUnderWay bounds what a delay, or a black hole, keeps of one direction.
	chunksUnderWay = 256
	// connectTimeout bounds connecting to a process on this machine, which may be
	// stopped with a full backlog.
	connectTimeout = 10 * time.Second
)

// link is a connection and its continuation to the member.
type link struct {
	path   *Path
	client bool
	silent atomic.Bool // what is sent is swallowed
	near   *net.TCPConn

	life context.Context // ended by close
	end  context.CancelFunc

	mu  sync.Mutex
	far net.Conn // guarded by mu; nil before there is one
}

func newLink(p *Path, near *net.TCPConn) *link {
	l := &link{path: p, near: near, client: ours(near)}
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

// chunk is something on its way.
type chunk struct {
	bytes []byte
	due   time.Time // zero: at once
}

// carry connects to the member and forwards until either end closes.
func (l *link) carry() {
	dialer := net.Dialer{Timeout: connectTimeout}
	far, err := dialer.DialContext(l.life, "tcp", l.path.target)
	if err != nil {
		l.reset() // as if the member's port had refused
		return
	}
	if !l.join(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pipe(l.near, far) })
	both.Go(func() { l.pipe(far, l.near) })
	both.Wait()
}

// join makes far the continuation; false if the link has been closed.
func (l *link) join(far net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.Err() != nil {
		_ = far.Close()
		return false
	}
	l.far = far
	return true
}

// pipe forwards one direction. It ends when the link closes.
func (l *link) pipe(from, to net.Conn) {
	defer l.close()
	chunks := make(chan chunk, chunksUnderWay)
	var writer sync.WaitGroup
	writer.Go(func() { l.write(to, chunks) })
	defer writer.Wait()
	defer close(chunks)
	for {
		b := make([]byte, chunkSize)
		n, err := from.Read(b)
		if n > 0 && !l.silent.Load() && !l.push(chunks, b[:n]) {
			return
		}
		if err != nil {
			return
		}
	}
}

// push hands bytes to the writer; false if the link has closed.
func (l *link) push(chunks chan<- chunk, b []byte) bool {
	c := chunk{bytes: b}
	if d := time.Duration(l.path.delay.Load()); d > 0 && l.client {
		c.due = time.Now().Add(d)
	}
	select {
	case chunks <- c:
		return true
	case <-l.life.Done():
		return false
	}
}

// write lets chunks go when they may, until there are no more. What is left when
// the other end has closed still goes.
func (l *link) write(to net.Conn, chunks <-chan chunk) {
	for c := range chunks {
		if !l.pass(c.due) || l.silent.Load() {
			continue
		}
		if _, err := to.Write(c.bytes); err != nil {
			l.close()
		}
	}
}

// pass waits until something that is due then may go; false once the link is
// closed.
func (l *link) pass(due time.Time) bool {
	if !due.IsZero() && !l.waitUntil(due) {
		return false
	}
	if !l.client {
		return true
	}
	var lost time.Time // when this was sent and lost; zero for never
	for {
		changed, loses := l.path.blocked()
		if changed == nil {
			if lost.IsZero() {
				return true
			}
			if !l.waitUntil(sentAgain(lost, time.Now())) {
				return false
			}
			lost = time.Time{}
			continue
		}
		if loses && lost.IsZero() {
			lost = time.Now()
		}
		select {
		case <-changed:
		case <-l.life.Done():
			return false
		}
	}
}

// firstAgain is after how long TCP sends again what is not acknowledged, where round trips
// are short.
const firstAgain = 200 * time.Millisecond

// sentAgain returns when TCP next sends what it has first sent at a time: after twice as long
// each time.
func sentAgain(first, now time.Time) time.Time {
	pause := firstAgain
	for first = first.Add(pause); first.Before(now); first = first.Add(pause) {
		pause *= 2
	}
	return first
}

// waitUntil returns false if the link closes before that time.
func (l *link) waitUntil(due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.life.Done():
		return false
	}
}

// close ends the link, both ways.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	_ = l.near.Close() // a second time does nothing
	if l.far != nil {
		_ = l.far.Close()
	}
}

// reset is close with an RST to the near end.
func (l *link) reset() {
	_ = l.near.SetLinger(0)
	l.close()
}
