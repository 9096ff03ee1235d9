package pdcluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Ports come from below 32768, where Linux's ephemeral ports begin: a member
// that restarts needs the port it had, and a stray outgoing connection must not
// have taken it meanwhile.
const (
	portMin = 20000
	portMax = 32000
)

// ports are loopback ports that are this cluster's alone until release, also
// among clusters of other processes: between choosing a port and a server that
// listens on it, and while a member is down, only the lock files keep it.
type ports struct {
	numbers []int
	unlocks []func()
}

// reserve adds n free ports. Those that it has found before it fails are the cluster's
// until release, too.
func (p *ports) reserve(n int) error {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tso-pdcluster-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("pdcluster: %w", err)
	}
	wanted := len(p.numbers) + n
	for _, offset := range rand.Perm(portMax - portMin) {
		if len(p.numbers) == wanted {
			return nil
		}
		if err := p.try(dir, portMin+offset); err != nil {
			return err
		}
	}
	return errors.New("pdcluster: no free ports left")
}

// try adds a port if nobody has reserved it and nobody listens on it.
func (p *ports) try(dir string, port int) error {
	unlock, err := tryLock(filepath.Join(dir, strconv.Itoa(port)))
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		unlock()
		return nil //nolint:nilerr // taken, whatever the reason: the caller tries the next one
	}
	p.numbers = append(p.numbers, port)
	p.unlocks = append(p.unlocks, unlock)
	return l.Close()
}

func (p *ports) release() {
	for _, unlock := range p.unlocks {
		unlock()
	}
	p.numbers, p.unlocks = nil, nil
}

func address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
