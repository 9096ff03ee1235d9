package pdcluster

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processAttributes puts a server into a process group of its own, out of reach
// of a Ctrl-C that is meant for its parent, and has the kernel kill it when the
// parent dies in whatever way.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitStop waits until a process that has been sent SIGSTOP has stopped, or ended:
// the kernel tells its parent when the last thread has.
func (p *process) awaitStop() error {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err == nil, errors.Is(err, unix.ECHILD):
			return nil
		default:
			return fmt.Errorf("pdcluster: wait for the stop: %w", err)
		}
	}
}

// ProcessorTime returns how much of the processors all threads of a process that runs have
// had, in user and in kernel mode.
func ProcessorTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED of Linux, which clock_getcpuclockid(3) composes with
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &spent); err != nil {
		return 0, fmt.Errorf("pdcluster: processor time of process %d: %w", pid, err)
	}
	return time.Duration(spent.Nano()), nil
}

// residentMemory returns what a process that runs has in memory, in bytes.
func residentMemory(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/statm", pid)
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("pdcluster: %w", err)
	}
	var size, resident int64 // in pages
	if _, err := fmt.Sscan(string(content), &size, &resident); err != nil {
		return 0, fmt.Errorf("pdcluster: %s: %w", path, err)
	}
	return resident * int64(os.Getpagesize()), nil
}
