package pdpath

import (
	"net"
	"os"
	"strconv"
	"syscall"
)

// ours reports whether the other end of an accepted connection is a socket of this
// process. It looks through the process's descriptors, which Unix lists in /dev/fd: a
// socket whose name is the connection's remote address, and whose peer is its local
// one. A connection that has been closed meanwhile is nobody's, which does no harm.
func ours(accepted *net.TCPConn) bool {
	remote, near := port(accepted.RemoteAddr()), port(accepted.LocalAddr())
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err == nil && joins(fd, remote, near) {
			return true
		}
	}
	return false
}

// joins reports whether a descriptor is a socket between two ports. The descriptor
// may be closed, or be another's, by now: asking for its name changes nothing.
func joins(fd, from, to int) bool {
	name, err := syscall.Getsockname(fd)
	if err != nil || portOf(name) != from {
		return false
	}
	peer, err := syscall.Getpeername(fd)
	return err == nil && portOf(peer) == to
}

func port(addr net.Addr) int {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return -1
	}
	return tcp.Port
}

func portOf(addr syscall.Sockaddr) int {
	switch a := addr.(type) {
	case *syscall.SockaddrInet4:
		return a.Port
	case *syscall.SockaddrInet6:
		return a.Port
	}
	return -1
}
