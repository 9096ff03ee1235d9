//go:build !linux

package pdcluster

import "syscall"

// processAttributes leaves a server in its parent's process group: where the
// kernel does not kill it when the parent dies, at least a Ctrl-C reaches it.
func processAttributes() *syscall.SysProcAttr {
	return nil
}
