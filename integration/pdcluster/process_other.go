//go:build !linux

package pdcluster

import "syscall"

// processAttributes leaves a server in its parent's process group: where the
// kernel does not kill it when the parent dies, at least a Ctrl-C reaches it.
func processAttributes() *syscall.SysProcAttr {
	return nil
}

// awaitStop does nothing where there is no system call that waits for a stop.
func (p *process) awaitStop() error { return nil }
