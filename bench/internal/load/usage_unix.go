//go:build unix

package load

import (
	"syscall"
	"time"
)

// cpuTime returns the CPU time of all threads of the process.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// sleeps returns how often a thread of the process has given up its processor.
func sleeps() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return int64(usage.Nvcsw) //nolint:unconvert // it is 32 bits wide on some platforms
}
