// Package delay is a TCP path that takes a while: what arrives at one end leaves
// at the other end a fixed time later, each way, as over a long cable. Nothing is
// lost, and throughput is not limited.
//
// It belongs in a process of its own. In the process of the client it would wait
// for a processor like everything else there, when the point is what the client
// does while processors are rare.
package delay

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Path listens, and forwards each connection to one address.
type Path struct {
	listener net.Listener
	target   string
	oneWay   time.Duration

	mu     sync.Mutex
	closed bool       // guarded by mu
	conns  []net.Conn // guarded by mu
	ended  sync.WaitGroup
}

// Listen opens a path to target that adds oneWay in each direction.
func Listen(target string, oneWay time.Duration) (*Path, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("delay: %w", err)
	}
	p := &Path{listener: listener, target: target, oneWay: oneWay}
	p.ended.Go(p.accept)
	return p, nil
}

// Addr returns the address to connect to.
func (p *Path) Addr() string { return p.listener.Addr().String() }

// Close ends the path and its connections.
func (p *Path) Close() {
	_ = p.listener.Close() // only its effect counts
	p.mu.Lock()
	p.closed = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.ended.Wait()
}

func (p *Path) accept() {
	for {
		near, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // the one that came has gone again
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(near, far) {
			_ = near.Close()
			continue
		}
		p.ended.Go(func() { p.forward(far, near) })
		p.ended.Go(func() { p.forward(near, far) })
	}
}

// keep remembers connections for Close, and reports false if that has been called.
func (p *Path) keep(near, far net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = far.Close()
		return false
	}
	p.conns = append(p.conns, near, far)
	return true
}

// chunk is what has been read at once, and when it is due.
type chunk struct {
	due  time.Time
	data []byte
}

const (
	// readSize is more than a client or PD sends at once.
	readSize = 64 << 10
	// underWay is how many chunks may be on the path: one each microsecond would
	// fill it in some milliseconds.
	underWay = 10_000
)

// forward copies one direction, and ends both when one side is gone.
func (p *Path) forward(dst, src net.Conn) {
	defer func() { _ = dst.Close() }()
	Sharp()
	chunks := make(chan chunk, underWay)
	p.ended.Go(func() { p.receive(src, chunks) })
	failed := false
	for c := range chunks {
		if failed {
			continue // so that receive never waits
		}
		sleepUntil(c.due)
		if _, err := dst.Write(c.data); err != nil {
			failed = true
			_ = src.Close()
		}
	}
}

func (p *Path) receive(src net.Conn, chunks chan<- chunk) {
	defer close(chunks)
	buffer := make([]byte, readSize)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			chunks <- chunk{time.Now().Add(p.oneWay), append([]byte(nil), buffer[:n]...)}
		}
		if err != nil {
			return
		}
	}
}

// sleepUntil returns at t, or some microseconds after it.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		Sleep(d)
	}
}
