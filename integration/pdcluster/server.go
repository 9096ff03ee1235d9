package pdcluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// terminateGrace is how long a server may take to shut down after SIGTERM. An
// idle PD takes well under a second, a busy machine many times that.
const terminateGrace = 20 * time.Second

var errClosed = errors.New("pdcluster: cluster is closed")

// Server is what a [Member] and a [TSOService] have in common: a process, which may
// come and go. Methods may be called from any goroutine.
type Server struct {
	// Name is what the cluster calls the server: pd1 to pdN, tso1 to tsoN.
	Name string
	// LogPath is the server's log.
	LogPath string

	cluster *Cluster
	dir     string

	mu      sync.Mutex
	command []string      // guarded by mu; before args
	args    []string      // guarded by mu
	proc    *process      // guarded by mu; the latest run, nil before the first
	closed  bool          // guarded by mu; no more runs
	spent   time.Duration // guarded by mu; the processor time of the runs before proc
}

// Launch starts the process if it is not running, and returns at once: with too
// few other members up it would wait for them in vain. See
// [Member.WaitServing] and [Cluster.WaitServing].
func (s *Server) Launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.proc != nil && s.proc.running() {
		return nil
	}
	p, err := startProcess(s.cluster.binary, slices.Concat(s.command, s.args), s.outputPath())
	if err != nil {
		return err
	}
	if s.proc != nil {
		s.spent += s.proc.exited()
	}
	s.proc = p
	return nil
}

// ProcessorTime returns the processor time of all runs so far, that of a run that has
// ended included.
func (s *Server) ProcessorTime() (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0, nil
	}
	latest, err := s.proc.processorTime()
	return s.spent + latest, err
}

// setCommand decides on what the next runs' command lines begin with.
func (s *Server) setCommand(command []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.command = command
}

// Running tells whether the process exists, frozen or not.
func (s *Server) Running() bool {
	p := s.process()
	return p != nil && p.running()
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (s *Server) Kill() error {
	p := s.process()
	if p == nil {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Terminate ends the process with SIGTERM, which lets it resign and close its
// connections, and waits until it is gone. A frozen process is thawed for that.
// One that takes too long is killed, and that is an error.
func (s *Server) Terminate() error {
	p := s.process()
	if p == nil {
		return nil
	}
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	late := time.NewTimer(terminateGrace)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return errors.Join(fmt.Errorf("pdcluster: %s ignored SIGTERM", s.Name), s.Kill())
	}
}

// Freeze stops the process with SIGSTOP: its connections stay up and silent. It
// returns when all threads have stopped.
func (s *Server) Freeze() error {
	p := s.process()
	if p == nil || !p.running() {
		return nil
	}
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return p.awaitStop()
}

// Thaw lets a frozen process go on.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

// Memory returns how much memory the process has, in bytes; 0 if it is not running.
func (s *Server) Memory() (int64, error) {
	p := s.process()
	if p == nil || !p.running() {
		return 0, nil
	}
	return residentMemory(p.cmd.Process.Pid)
}

func (s *Server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

func (s *Server) signal(sig syscall.Signal) error {
	if p := s.process(); p != nil {
		return p.signal(sig)
	}
	return nil
}

// close ends the process for good.
func (s *Server) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.Kill()
}

// exitReason returns ": " and how the process ended, if it did.
func (s *Server) exitReason() string {
	p := s.process()
	if p == nil || p.running() || p.exit == nil {
		return ""
	}
	return ": " + p.exit.Error()
}

// outputPath is where standard output and error go: panics, and what PD says
// before its log is set up.
func (s *Server) outputPath() string {
	return filepath.Join(s.dir, "output.log")
}
