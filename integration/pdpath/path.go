package pdpath

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Path forwards TCP connections to one address. Its methods may be called from any
// goroutine.
type Path struct {
	target   string
	listener *net.TCPListener
	running  sync.WaitGroup

	clients, members atomic.Int64 // connections accepted, by who made them
	delay            atomic.Int64 // one way, in nanoseconds

	mu      sync.Mutex
	state   state              // guarded by mu
	changed chan struct{}      // guarded by mu; closed and replaced when state changes
	links   map[*link]struct{} // guarded by mu; nil once closed
}

// state is what happens to clients' connections.
type state int

const (
	open    state = iota // bytes pass
	held                 // nothing passes, nothing is lost
	refused              // no connection lives
)

// New returns a path to an address, host:port, where nobody needs to listen yet.
func New(target string) (*Path, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("pdpath: %w", err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("pdpath: a listener of type %T", listener), listener.Close())
	}
	p := &Path{
		target:   target,
		listener: tcp,
		changed:  make(chan struct{}),
		links:    make(map[*link]struct{}),
	}
	p.running.Go(p.accept)
	return p, nil
}

// Address is where the path begins, host:port.
func (p *Path) Address() string { return p.listener.Addr().String() }

// Clients returns how many connections clients have made, those included that were
// refused.
func (p *Path) Clients() int64 { return p.clients.Load() }

// Members returns how many connections other processes have made: members.
func (p *Path) Members() int64 { return p.members.Load() }

// Links returns how many connections there are now, of clients and of members.
func (p *Path) Links() (clients, members int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if l.client {
			clients++
		} else {
			members++
		}
	}
	return clients, members
}

// Close breaks all connections and waits until nothing of the path is left.
func (p *Path) Close() {
	_ = p.listener.Close() // it can only be closed already
	p.mu.Lock()
	links := p.links
	p.links = nil
	p.mu.Unlock()
	for l := range links {
		l.close()
	}
	p.running.Wait()
}

func (p *Path) accept() {
	for {
		near, err := p.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // that connection is gone, as its maker will see
		}
		p.running.Go(func() { p.serve(near) })
	}
}

// serve carries one connection.
func (p *Path) serve(near *net.TCPConn) {
	l := newLink(p, near)
	if l.client {
		p.clients.Add(1)
	} else {
		p.members.Add(1)
	}
	if !p.add(l) {
		l.reset()
		return
	}
	defer p.remove(l)
	defer l.close()
	if l.pass(time.Time{}) {
		l.carry()
	}
}

// add returns false if a connection has no future here.
func (p *Path) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links == nil || p.state == refused && l.client {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Path) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// clientLinks returns the connections that faults are for.
func (p *Path) clientLinks() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var links []*link
	for l := range p.links {
		if l.client {
			links = append(links, l)
		}
	}
	return links
}
