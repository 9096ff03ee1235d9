package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso/integration/pdpath"
)

const (
	// startTimeout bounds a start, within the caller's context. Three members
	// with Local TSO take some 10 s, several times that on a busy machine.
	startTimeout = 90 * time.Second
	// startAttempts is how often new ports are tried. The lock files leave only
	// foreign programs to lose a port to, so a second attempt is rare.
	startAttempts = 3
)

// errPortTaken is why a member does not start when a foreign program has its port.
var errPortTaken = errors.New("a port is taken")

// Cluster is a running cluster. Its methods may be called from any goroutine.
type Cluster struct {
	// TLS is what a client needs to connect; nil unless Config.TLS was set.
	TLS *Credentials

	cfg       Config
	authority *authority // nil without TLS
	binary    string
	dir       string
	ports     *ports
	clusterID atomic.Uint64
	close     func() error
	flags     []string // of all servers

	services     []*TSOService
	servicePorts *ports

	mu      sync.Mutex // held by Join and Remove, and while members is read
	members []*Member  // guarded by mu after the start
}

// Start runs a cluster and waits until it serves: every member answers, and so
// does a request for a timestamp, with Local TSO in every dc-location. The
// processes outlive ctx, which only bounds the start; stop them with
// [Cluster.Close]. The error of a failed start names a file with the logs.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	binary, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, cfg, binary)
		if err == nil || attempt == startAttempts || !errors.Is(err, errPortTaken) {
			return c, err
		}
	}
}

// start is one attempt, which leaves nothing behind if it fails.
func start(ctx context.Context, cfg Config, binary string) (*Cluster, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "tso-pd-")
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	c := &Cluster{cfg: cfg, binary: binary, dir: dir, ports: new(ports), servicePorts: new(ports)}
	c.close = sync.OnceValue(c.closeOnce)
	if err := c.run(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) run(ctx context.Context) error {
	var err error
	if c.flags, err = c.makeCredentials(); err != nil {
		return err
	}
	if err := errors.Join(c.makeMembers(), c.makeServices()); err != nil {
		return err
	}
	if err := c.launch(c.cfg.Mode); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := poll(ctx, c.serving); err != nil {
		if c.logged("address already in use") {
			err = fmt.Errorf("%w: %w", errPortTaken, err)
		}
		return fmt.Errorf("pdcluster: start: %w (%s)", err, c.SaveLogs())
	}
	return nil
}

// makeCredentials writes the certificates, if any are wanted, and returns the
// flags that make a server use them.
func (c *Cluster) makeCredentials() ([]string, error) {
	if !c.cfg.TLS {
		return nil, nil
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	c.authority = ca
	if c.TLS, err = ca.issue(c.dir, "client", lifetimeOfOwn); err != nil {
		return nil, err
	}
	server, err := ca.issue(c.dir, "server", lifetimeOfOwn)
	if err != nil {
		return nil, err
	}
	return []string{
		"--cacert=" + server.CAPath, "--cert=" + server.CertPath, "--key=" + server.KeyPath,
	}, nil
}

// makeMembers decides on names, addresses and flags, and writes the
// configuration files.
func (c *Cluster) makeMembers() error {
	n := c.cfg.Members
	if err := c.ports.reserve(2 * n); err != nil {
		return err
	}
	clientURLs, initial := make([]string, n), make([]string, n)
	for i := range n {
		m := c.newMember(i)
		c.members = append(c.members, m)
		clientURLs[i], initial[i] = m.ClientURL, m.Name+"="+m.PeerURL
	}
	advertised, err := c.cfg.advertised(clientURLs)
	if err != nil {
		return err
	}
	for i, m := range c.members {
		m.AdvertiseURL = advertised[i]
		if err := c.prepare(m, i, "--initial-cluster="+strings.Join(initial, ",")); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes what the process of the i-th member needs; founding as in flags.
func (c *Cluster) prepare(m *Member, i int, founding string) error {
	if c.cfg.Paths {
		if err := m.usePath(); err != nil {
			return err
		}
	}
	m.args = append(slices.Clip(c.flags), m.flags(founding)...)
	return m.writeConfig(c.cfg.toml(i))
}

// usePath puts a new path in front of where m listens, and has m advertise it.
func (m *Member) usePath() error {
	scheme := m.cluster.cfg.scheme() + "://"
	path, err := pdpath.New(strings.TrimPrefix(m.ClientURL, scheme))
	if err != nil {
		return fmt.Errorf("pdcluster: %w", err)
	}
	m.Path, m.AdvertiseURL = path, scheme+path.Address()
	return nil
}

func (c *Cluster) newMember(i int) *Member {
	name := fmt.Sprintf("pd%d", i+1)
	dir := filepath.Join(c.dir, name)
	m := &Member{
		ClientURL: c.cfg.scheme() + "://" + address(c.ports.numbers[2*i]),
		PeerURL:   c.cfg.scheme() + "://" + address(c.ports.numbers[2*i+1]),
		DC:        c.cfg.dc(i),
	}
	m.Name, m.LogPath, m.cluster, m.dir = name, filepath.Join(dir, "pd.log"), c, dir
	m.command = c.cfg.Mode.command()
	return m
}

const advertiseFlag = "--advertise-client-urls="

// flags returns the member's own flags; founding is the one that says how it gets into
// its cluster.
func (m *Member) flags(founding string) []string {
	return []string{
		"--name=" + m.Name,
		"--data-dir=" + filepath.Join(m.dir, "data"),
		"--client-urls=" + m.ClientURL,
		advertiseFlag + m.AdvertiseURL,
		"--peer-urls=" + m.PeerURL,
		founding,
		"--log-file=" + m.LogPath,
		"--config=" + m.configPath(),
	}
}

func (m *Member) configPath() string { return filepath.Join(m.dir, "pd.toml") }

func (m *Member) writeConfig(content string) error {
	err := os.Mkdir(m.dir, 0o755)
	if err == nil {
		err = os.WriteFile(m.configPath(), []byte(content), 0o644)
	}
	if err != nil {
		return fmt.Errorf("pdcluster: %w", err)
	}
	return nil
}

// launch starts the processes that a mode has.
func (c *Cluster) launch(mode Mode) error {
	err := each(c.Members(), (*Member).Launch)
	if mode == APIMode {
		err = errors.Join(err, each(c.services, (*TSOService).Launch))
	}
	return err
}

// WaitServing waits until every member answers and every kind of timestamp can be had.
func (c *Cluster) WaitServing(ctx context.Context) error {
	if err := poll(ctx, c.serving); err != nil {
		return fmt.Errorf("pdcluster: the cluster does not serve: %w", err)
	}
	return nil
}

// serving returns nil if every member answers and every kind of timestamp can
// be had.
func (c *Cluster) serving(ctx context.Context) error {
	for _, m := range c.Members() {
		if err := m.serving(ctx); err != nil {
			return err
		}
	}
	return c.timestamps(ctx)
}

// Close kills the processes, waits until they are gone, and removes the
// cluster's folder. A second call waits for the first and returns what it
// returns.
func (c *Cluster) Close() error { return c.close() }

func (c *Cluster) closeOnce() error {
	members := c.Members()
	err := errors.Join(each(c.services, (*TSOService).close), each(members, (*Member).close))
	for _, m := range members {
		if m.Path != nil {
			m.Path.Close()
		}
	}
	c.ports.release()
	c.servicePorts.release()
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Members returns the members in the order in which they were added, pd1 first.
func (c *Cluster) Members() []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

// Member returns the member with the given name, or nil.
func (c *Cluster) Member(name string) *Member {
	for _, m := range c.Members() {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// ClientURLs returns the addresses to give to a client: those that the members
// advertise.
func (c *Cluster) ClientURLs() []string {
	var urls []string
	for _, m := range c.Members() {
		urls = append(urls, strings.Split(m.AdvertiseURL, ",")...)
	}
	return urls
}

// RestartAll kills all members at the same time, starts them again, and waits
// until a leader serves.
func (c *Cluster) RestartAll(ctx context.Context) error {
	members := c.Members()
	if err := errors.Join(each(members, (*Member).Kill), each(members, (*Member).Launch)); err != nil {
		return err
	}
	_, err := c.WaitLeader(ctx)
	return err
}
