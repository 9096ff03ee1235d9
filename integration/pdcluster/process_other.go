//go:build !linux

package pdcluster

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// processAttributes leaves a server in its parent's process group: where the
// kernel does not kill it when the parent dies, at least a Ctrl-C reaches it.
func processAttributes() *syscall.SysProcAttr {
	return nil
}

// awaitStop does nothing where there is no system call that waits for a stop.
func (p *process) awaitStop() error { return nil }

// ProcessorTime is known on Linux only.
func ProcessorTime(int) (time.Duration, error) {
	return 0, fmt.Errorf("pdcluster: processor time of another process: %w", errors.ErrUnsupported)
}

func residentMemory(int) (int64, error) {
	return 0, fmt.Errorf("pdcluster: memory of another process: %w", errors.ErrUnsupported)
}
