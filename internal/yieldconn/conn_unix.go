//go:build unix

package yieldconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// minAlarm is the first alarm of a wait. The others come later by a quarter of
	// the time waited so far, so that an answer is late by that at most, and a long
	// wait costs few of them. Half and twice as much, and an eighth, measure the same.
	minAlarm = 50 * time.Microsecond

	// maxAlarms is for how long a wait has alarms. Who waits for longer does not
	// notice 10 ms more, and a server that is silent takes no more turns.
	maxAlarms = 100 * time.Millisecond
)

// Conn is a TCP connection whose Read has an alarm while an answer is awaited in a
// saturated process. Its methods may be called from any goroutine, as those of any
// net.Conn.
type Conn struct {
	*net.TCPConn // for all but reading

	raw    syscall.RawConn
	dialer *Dialer

	reader

	// quiet says that the reader waits in a saturated process without an alarm.
	// Whoever takes it back sets one: see wait and Write.
	quiet atomic.Bool

	// deadline is the read deadline that the connection's user has set, nil for none;
	// see until.
	deadline atomic.Pointer[time.Time]
}

// reader is the state of a Read.
type reader struct {
	// one is held by the Read that owns the fields below. Every connection serves one
	// reader at a time.
	one sync.Mutex

	try    func(fd uintptr) bool // readOnce, bound once
	buffer []byte
	n      int
	err    error

	waited   bool  // this Read has waited
	since    int64 // when its alarms began, 0 if they have not
	wasQuiet bool  // its last wait began without an alarm
}

// wrap makes a Conn of a connection, or closes it.
func (d *Dialer) wrap(tcp *net.TCPConn) (net.Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	setUserTimeout(raw, userTimeout)
	c := &Conn{TCPConn: tcp, raw: raw, dialer: d}
	c.try = c.readOnce
	return c, nil
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.one.Lock()
	defer c.one.Unlock()
	c.buffer, c.waited, c.since, c.wasQuiet = p, false, 0, false
	n, err := c.read()
	c.buffer, c.err = nil, nil
	return n, err
}

func (c *Conn) read() (int, error) {
	for {
		err := c.raw.Read(c.try)
		switch {
		case err == nil:
			c.look()
			return c.n, c.err
		case !c.wasAlarm(err):
			return 0, asRead(err)
		}
	}
}

// look looks at the scheduler, if that is due, when the reader has waited and has been
// woken: then what runs, or wants to, is the process's other work. Before a wait it is
// also whoever the last answer has woken.
func (c *Conn) look() {
	if c.waited {
		c.dialer.Load.Look(now())
	}
}

// readOnce asks the socket once. If there is nothing it returns false, to wait and be
// called again.
func (c *Conn) readOnce(fd uintptr) bool {
	n, err := syscall.Read(int(fd), c.buffer)
	for err == syscall.EINTR { //nolint:errorlint // a system call's
		n, err = syscall.Read(int(fd), c.buffer)
	}
	switch {
	case err == syscall.EAGAIN: //nolint:errorlint // a system call's
		c.wait()
		return false
	case err != nil:
		n, err = 0, os.NewSyscallError("read", err)
		err = &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	case n == 0:
		err = io.EOF
	}
	c.n, c.err = n, err
	return true
}

// wait prepares to wait.
//
// While nothing is awaited there is no alarm, also in a saturated process; the Write of
// the next request sets it. Here quiet is published before the last look at what is
// awaited; there what is awaited is published before the look at quiet. So at least one
// of the two sees the other.
func (c *Conn) wait() {
	c.waited = true
	if !c.dialer.Load.Saturated() {
		c.dialer.Counts.Parks.Add(1)
		return
	}
	now := now()
	if c.since == 0 || c.wasQuiet && !c.quiet.Load() {
		c.since = now // or since the Write that has set the alarm
	}
	waited := time.Duration(now - c.since)
	patient := waited < maxAlarms
	c.wasQuiet = !patient || !c.dialer.Awaited()
	if !c.wasQuiet {
		c.alarm(next(waited))
		return
	}
	c.quiet.Store(true)
	if patient && c.dialer.Awaited() && c.quiet.CompareAndSwap(true, false) {
		c.alarm(minAlarm)
		return
	}
	c.dialer.Counts.Parks.Add(1)
}

// next is how long after one alarm the next one comes, when that much has been waited.
func next(waited time.Duration) time.Duration { return max(waited/4, minAlarm) }

// Write implements net.Conn. What it writes may be a request whose answer is awaited.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	if c.quiet.Load() && c.quiet.CompareAndSwap(true, false) {
		c.alarm(minAlarm)
	}
	return n, err
}

// alarm has the reader ask again after d.
func (c *Conn) alarm(d time.Duration) {
	c.dialer.Counts.Yields.Add(1)
	_ = c.until(time.Now().Add(d)) // fails if the connection is closed, which Read finds out
}

// wasAlarm reports whether the error of a wait is an alarm, and not the deadline of the
// connection's user, which it puts back.
func (c *Conn) wasAlarm(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if user := c.deadline.Load(); user != nil && !user.After(time.Now()) {
		return false
	}
	_ = c.until(time.Time{}) // as in alarm
	return true
}

// until sets the read deadline of the connection to the earlier one of at, unless that
// is zero, and the user's. A lock would have reader and writer wait for each other;
// instead, who has set a deadline looks once more at the user's, and so the last to set
// one knows of the last that the user has published. A writer's alarm that the reader
// puts back is no loss: the reader has been woken, and looks at the socket after that.
func (c *Conn) until(at time.Time) error {
	for {
		user, deadline := c.deadline.Load(), at
		if user != nil && (at.IsZero() || user.Before(at)) {
			deadline = *user
		}
		if err := c.TCPConn.SetReadDeadline(deadline); err != nil {
			return err
		}
		if c.deadline.Load() == user {
			return nil
		}
	}
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		c.deadline.Store(nil)
	} else {
		c.deadline.Store(&t)
	}
	return c.until(time.Time{})
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.TCPConn.SetWriteDeadline(t))
}

// SetWriteDeadline implements net.Conn, and shortens what it is given; see farewell.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.TCPConn.SetWriteDeadline(farewell(t))
}

// asRead makes an error of RawConn.Read look like one of Read.
func asRead(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	read := *op
	read.Op = "read"
	return &read
}
