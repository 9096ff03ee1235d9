package pdpath

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// A kernel drops the packets that begin a connection to a listener whose queue is full of
// connections that nobody has accepted. So while a path drops packets it accepts none, has
// room for one, and that is its own.

// interrupt has the accepting goroutine look at the path's state. Under mu.
func (p *Path) interrupt() {
	_ = p.listener.SetDeadline(time.Unix(1, 0)) // of a closed one accept returns anyway
}

// starve leaves the listener with a full queue for as long as the path drops packets. On the
// accepting goroutine.
func (p *Path) starve(listener *net.TCPListener) {
	filler, err := net.Dial("tcp", p.address)
	if err == nil {
		p.fillers[filler.LocalAddr().String()] = true
		err = queue(listener, 0)
	}
	for err == nil && p.awaitHealed() {
	}
	if filler != nil {
		_ = filler.Close() // it has sent nothing
	}
	if err = errors.Join(err, queue(listener, syscall.SOMAXCONN)); err != nil {
		_ = listener.Close() // as [Path.Shut] has it, which the next accept finds
	}
}

// awaitHealed tells who waits for it that packets are dropped, and waits until that changes.
// It reports false if they are not any more.
func (p *Path) awaitHealed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != dropped {
		_ = p.listener.SetDeadline(time.Time{})
		return false
	}
	select {
	case <-p.dropping:
	default:
		close(p.dropping)
	}
	changed := p.changed
	p.mu.Unlock()
	<-changed
	p.mu.Lock()
	return true
}

// queue sets how many connections may wait for being accepted, beside one.
func queue(listener *net.TCPListener, length int) error {
	raw, err := listener.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), length) })
	return errors.Join(err, failed)
}
