package pdpath

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Path forwards TCP connections to one address. Its methods may be called from any
// goroutine.
type Path struct {
	target  string
	address string
	running sync.WaitGroup

	clients, members atomic.Int64 // connections accepted, by who made them
	delay            atomic.Int64 // one way, in nanoseconds

	mu       sync.Mutex
	listener *net.TCPListener   // guarded by mu
	state    state              // guarded by mu
	changed  chan struct{}      // guarded by mu; closed and replaced when state changes
	links    map[*link]struct{} // guarded by mu; nil once closed
	dropping chan struct{}      // guarded by mu; closed once what Drop has asked for is so

	fillers map[string]bool // of the accepting goroutine: addresses of its own connections, see drop.go
}

// state is what happens to clients' connections.
type state int

const (
	open    state = iota // bytes pass
	held                 // nothing passes, nothing is lost
	dropped              // nothing passes, nobody is connected, and what is lost is sent again
	refused              // no connection lives
	shut                 // no connection lives, and nobody listens
)

// New returns a path to an address, host:port, where nobody needs to listen yet.
func New(target string) (*Path, error) {
	listener, err := listen("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("pdpath: %w", err)
	}
	p := &Path{
		target:   target,
		address:  listener.Addr().String(),
		listener: listener,
		changed:  make(chan struct{}),
		links:    make(map[*link]struct{}),
		fillers:  make(map[string]bool),
	}
	p.running.Go(func() { p.accept(listener) })
	return p, nil
}

func listen(address string) (*net.TCPListener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	return net.ListenTCP("tcp", resolved)
}

// Address is where the path begins, host:port.
func (p *Path) Address() string { return p.address }

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
	p.mu.Lock()
	_ = p.listener.Close() // it can only be closed already
	links := p.links
	p.links = nil
	p.become(open) // for who waits for that
	p.mu.Unlock()
	for l := range links {
		l.close()
	}
	p.running.Wait()
}

// accept serves connections until the listener is closed, and takes another one's once
// there may be one.
func (p *Path) accept(listener *net.TCPListener) {
	for listener != nil {
		near, err := listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			listener = p.relisten()
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.starve(listener)
		case err != nil: // that connection is gone, as its maker will see
		case p.fillers[near.RemoteAddr().String()]:
			delete(p.fillers, near.RemoteAddr().String())
			_ = near.Close() // it has only taken up room
		default:
			p.running.Go(func() { p.serve(near) })
		}
	}
}

// relisten listens again when the path is not shut any more. It returns nil once the path
// is closed.
func (p *Path) relisten() *net.TCPListener {
	for {
		p.mu.Lock()
		changed, away, closed := p.changed, p.state == shut, p.links == nil
		var err error
		if !away && !closed {
			p.listener, err = listen(p.address)
			if err == nil && p.state == dropped {
				p.interrupt()
			}
		}
		listener := p.listener
		p.mu.Unlock()
		switch {
		case closed:
			return nil
		case away:
			<-changed
		case err == nil:
			return listener
		default: // somebody's connection begins at this port
			retry := time.NewTimer(time.Millisecond)
			select {
			case <-retry.C:
			case <-changed:
			}
		}
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
	if p.links == nil || (p.state == refused || p.state == shut) && l.client {
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
