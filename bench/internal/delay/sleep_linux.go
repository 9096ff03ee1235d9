package delay

import (
	"runtime"
	"syscall"
	"time"
)

// Sharp keeps the goroutine on a thread of its own, for good, whose sleeps the kernel
// ends as soon as it can. By default it lets them last 50 µs longer.
func Sharp() {
	const setTimerSlack, finest = 29, 1 // PR_SET_TIMERSLACK, in ns
	runtime.LockOSThread()
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, finest, 0) // or it stays as it was
}

// Sleep sleeps in the kernel. A timer of Go's may
// be a millisecond late in a process that is idle otherwise. It may return early.
func Sleep(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // a signal is the only error
}
