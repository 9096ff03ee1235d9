package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/tsoring/tso/integration/pdpath"
)

// terminateGrace is how long a member may take to shut down after SIGTERM. An
// idle PD takes well under a second, a busy machine many times that.
const terminateGrace = 20 * time.Second

var errClosed = errors.New("pdcluster: cluster is closed")

// Member is one PD server of a cluster. Its process may come and go; name,
// addresses and data stay. Methods may be called from any goroutine.
type Member struct {
	// Name is what PD calls the member: pd1 to pdN.
	Name string
	// ClientURL is where the process listens for clients.
	ClientURL string
	// AdvertiseURL is where the cluster sends clients: ClientURL, unless
	// [Config].AdvertiseClientURLs says otherwise.
	AdvertiseURL string
	// PeerURL is where the process listens for other members.
	PeerURL string
	// Path is what lies in front of AdvertiseURL; nil unless Config.Paths was set.
	Path *pdpath.Path
	// DC is the member's dc-location, empty without Local TSO.
	DC string
	// LogPath is PD's log.
	LogPath string

	cluster *Cluster
	dir     string
	args    []string

	mu     sync.Mutex
	proc   *process // guarded by mu; the latest run, nil before the first
	closed bool     // guarded by mu; no more runs
}

// Launch starts the process if it is not running, and returns at once: with too
// few other members up it would wait for them in vain. See
// [Member.WaitServing].
func (m *Member) Launch() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	if m.proc != nil && m.proc.running() {
		return nil
	}
	p, err := startProcess(m.cluster.binary, m.args, m.outputPath())
	if err != nil {
		return err
	}
	m.proc = p
	return nil
}

// Running tells whether the process exists, frozen or not.
func (m *Member) Running() bool {
	p := m.process()
	return p != nil && p.running()
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (m *Member) Kill() error {
	p := m.process()
	if p == nil {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Terminate ends the process with SIGTERM, which lets it resign and close its
// connections, and waits until it is gone. A frozen process is thawed for that.
// One that takes too long is killed, and that is an error.
func (m *Member) Terminate() error {
	p := m.process()
	if p == nil {
		return nil
	}
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	late := time.NewTimer(terminateGrace)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return errors.Join(fmt.Errorf("pdcluster: %s ignored SIGTERM", m.Name), m.Kill())
	}
}

// Freeze stops the process with SIGSTOP: its connections stay up and silent. It
// returns when all threads have stopped.
func (m *Member) Freeze() error {
	p := m.process()
	if p == nil || !p.running() {
		return nil
	}
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return p.awaitStop()
}

// Thaw lets a frozen process go on.
func (m *Member) Thaw() error { return m.signal(syscall.SIGCONT) }

// Restart terminates the process if it is running, starts it again with the
// same data and addresses, and waits until it serves.
func (m *Member) Restart(ctx context.Context) error {
	if err := m.Terminate(); err != nil {
		return err
	}
	if err := m.Launch(); err != nil {
		return err
	}
	return m.WaitServing(ctx)
}

// WaitServing waits until the member answers and knows a leader.
func (m *Member) WaitServing(ctx context.Context) error {
	err := poll(ctx, m.serving)
	if err != nil {
		return fmt.Errorf("pdcluster: %s does not serve: %w", m.Name, err)
	}
	return nil
}

// serving returns nil if the member answers and knows a leader.
func (m *Member) serving(ctx context.Context) error {
	if !m.Running() {
		return permanentError{fmt.Errorf("%s is not running%s", m.Name, m.exitReason())}
	}
	resp, err := m.members(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	if resp.GetLeader() == nil {
		return fmt.Errorf("%s knows no leader", m.Name)
	}
	return nil
}

func (m *Member) process() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

func (m *Member) signal(s syscall.Signal) error {
	if p := m.process(); p != nil {
		return p.signal(s)
	}
	return nil
}

// close ends the process for good.
func (m *Member) close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.Kill()
}

// exitReason returns ": " and how the process ended, if it did.
func (m *Member) exitReason() string {
	p := m.process()
	if p == nil || p.running() || p.exit == nil {
		return ""
	}
	return ": " + p.exit.Error()
}

// outputPath is where standard output and error go: panics, and what PD says
// before its log is set up.
func (m *Member) outputPath() string {
	return filepath.Join(m.dir, "output.log")
}
