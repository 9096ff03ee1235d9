package delay

import (
	"syscall"
	"time"
)

// Sleep sleeps in the kernel, which wakes it some 50 µs late. A timer of Go's may
// be a millisecond late in a process that is idle otherwise. It may return early.
func Sleep(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // a signal is the only error
}
