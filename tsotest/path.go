package tsotest

import (
	"net"
	"sync"
	"sync/atomic"
)

// path is what lies between the clients and a member. It acts on the member's
// end of each connection, so it works for sockets, memory and TLS alike.
//
// Waiting is on channels: a bubble's clock goes on.
type path struct {
	cut      atomic.Bool
	accepted atomic.Uint64

	mu     sync.Mutex
	conns  map[*conn]struct{} // guarded by mu
	healed chan struct{}      // guarded by mu; closed by heal; nil unless cut
}

// listener counts and wraps the connections of one run of a member.
type listener struct {
	net.Listener
	path   *path
	closed atomic.Bool
}

func newListener(lis net.Listener, p *path) *listener {
	return &listener{Listener: lis, path: p}
}

// Accept returns the next connection. One that arrives while the member is being
// stopped is in the path's set or closed here: closed is set before the set is
// emptied and looked at after the connection is in it.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, path: l.path, done: make(chan struct{})}
	l.path.add(c)
	if l.closed.Load() {
		_ = c.Close()
	}
	return c, nil
}

func (l *listener) Close() error {
	l.closed.Store(true)
	return l.Listener.Close()
}

func (p *path) add(c *conn) {
	p.accepted.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		p.conns = make(map[*conn]struct{})
	}
	p.conns[c] = struct{}{}
}

func (p *path) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *path) snapshot() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	return conns
}

func (p *path) closeAll(reset bool) {
	for _, c := range p.snapshot() {
		if tcp, ok := c.Conn.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0) // makes Close send RST
		}
		_ = c.Close()
	}
}

func (p *path) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.healed == nil {
		p.healed = make(chan struct{})
		p.cut.Store(true)
	}
}

func (p *path) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.healed != nil {
		p.cut.Store(false)
		close(p.healed)
		p.healed = nil
	}
}

// wait returns what a byte has to wait for, or nil.
func (p *path) wait() <-chan struct{} {
	if !p.cut.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.healed
}

// conn is the member's end of a connection.
type conn struct {
	net.Conn
	path   *path
	silent atomic.Bool
	once   sync.Once
	done   chan struct{} // closed by Close
}

// pass waits until the path lets bytes through; false once the conn is closed.
func (c *conn) pass() bool {
	if c.silent.Load() {
		<-c.done
		return false
	}
	for ch := c.path.wait(); ch != nil; ch = c.path.wait() {
		select {
		case <-ch:
		case <-c.done:
			return false
		}
	}
	return true
}

// Read holds back what has arrived: the client has sent it, the member does not
// know yet.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.pass() {
		return 0, net.ErrClosed
	}
	return n, err
}

// Write holds back what the member sends.
func (c *conn) Write(b []byte) (int, error) {
	if !c.pass() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// Close closes the connection and frees whoever waits for the path.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.path.remove(c)
	})
	return c.Conn.Close()
}

// CutPath black-holes the way from clients to a member: nothing is refused or
// reset, bytes are kept until HealPath. Members still reach it to relay.
func (s *Server) CutPath(i int) error {
	return s.eachMember([]int{i}, func(m *member) { m.path.hold() })
}

// HealPath ends CutPath; the bytes kept go on their way.
func (s *Server) HealPath(i int) error {
	return s.eachMember([]int{i}, func(m *member) { m.path.heal() })
}

// SilenceConns makes the connections that clients have to a member now go dead,
// without a sign, for ever; new ones work. So does a lost NAT entry.
func (s *Server) SilenceConns(i int) error {
	return s.eachMember([]int{i}, func(m *member) {
		for _, c := range m.path.snapshot() {
			c.silent.Store(true)
		}
	})
}

// ResetConns breaks the connections that clients have to a member now, by RST
// where there is TCP; new ones work.
func (s *Server) ResetConns(i int) error {
	return s.eachMember([]int{i}, func(m *member) { m.path.closeAll(true) })
}
