package pdcluster

import "syscall"

// processAttributes puts a server into a process group of its own, out of reach
// of a Ctrl-C that is meant for its parent, and has the kernel kill it when the
// parent dies in whatever way.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
