package pdcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is one run of a server, from its start until it has been reaped.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been reaped
	exit error         // valid when done is closed
}

// startProcess runs a program with its output in a file.
//
// The goroutine that starts it keeps its thread until the process has ended:
// Linux kills the child when the thread that forked it exits, not when the
// process does, so the thread must neither be given back to Go nor end early.
func startProcess(path string, args []string, output string) (*process, error) {
	out, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	defer out.Close() // the child has its own
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = processAttributes()
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.exit = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	return p, nil
}

// signal sends a signal. A process that has ended already is no error.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("pdcluster: %v: %w", s, err)
	}
	return nil
}

// running tells whether the process has not been reaped yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// processorTime returns the processor time of the process, which may have ended.
func (p *process) processorTime() (time.Duration, error) {
	if !p.running() {
		return p.exited(), nil
	}
	spent, err := ProcessorTime(p.cmd.Process.Pid)
	if err != nil && !p.running() {
		return p.exited(), nil // it has ended meanwhile
	}
	return spent, err
}

// exited returns the processor time of a process that has been reaped, 0 if it has not.
func (p *process) exited() time.Duration {
	if p.running() || p.cmd.ProcessState == nil {
		return 0
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}
