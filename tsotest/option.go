package tsotest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"
)

// defaultClusterID looks like the ids PD draws: a time in its upper half.
const defaultClusterID = 7_300_000_000_000_000_001

// maxMembers is what the address range of WithBufconn has room for. Longer
// lists of members are written by ScriptMembers and need no listeners.
const maxMembers = 250

// An Option changes how Start and New build a Server.
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// config is immutable once Start has validated it.
type config struct {
	members   int
	dcs       []string
	tls       *tls.Config
	bufconn   bool
	clusterID uint64
	clock     func() time.Time
	watch     bool
}

func newConfig(opts []Option) (config, error) {
	c := config{members: 1, clusterID: defaultClusterID, clock: time.Now}
	for _, o := range opts {
		o.apply(&c)
	}
	return c, c.validate()
}

func (c *config) validate() error {
	if c.members < 1 || c.members > maxMembers {
		return fmt.Errorf("tsotest: WithMembers(%d): must be in [1, %d]", c.members, maxMembers)
	}
	if c.clock == nil {
		return errors.New("tsotest: WithClock: clock is nil")
	}
	for i, dc := range c.dcs {
		if slices.Contains(c.dcs[:i], dc) {
			return fmt.Errorf("tsotest: WithDCs: %q is named twice", dc)
		}
	}
	return nil
}

// WithMembers sets the number of members, overriding the default 1. Must be in
// [1, 250]. Member 0 is the first leader.
func WithMembers(n int) Option {
	return optionFunc(func(c *config) { c.members = n })
}

// WithDCs turns Local TSO on, with the given dc-locations; the default is none.
// The i-th (from 1) gets suffix i, global timestamps have suffix 0, and
// suffix_bits is what the largest suffix needs. Both the member that lies in a
// dc-location and the one that leads its allocator are assigned round robin.
// At most 15, as in PD.
func WithDCs(names ...string) Option {
	return optionFunc(func(c *config) { c.dcs = slices.Clone(names) })
}

// WithTLS makes every member serve TLS with the given server configuration and
// announce https URLs. The default is plain text. On loopback the certificate
// has to name 127.0.0.1; with WithBufconn, 192.0.2.1 and upwards.
func WithTLS(conf *tls.Config) Option {
	return optionFunc(func(c *config) { c.tls = conf })
}

// WithBufconn replaces the sockets by memory. Clients then have to be given
// Server.Dialer. The addresses are of the range kept for documentation, so a
// client without the dialer reaches nobody. Needed inside a testing/synctest
// bubble, whose clock stands still while a goroutine waits for a socket.
func WithBufconn() Option {
	return optionFunc(func(c *config) { c.bufconn = true })
}

// WithClusterID sets the cluster id, overriding an arbitrary constant.
func WithClusterID(id uint64) Option {
	return optionFunc(func(c *config) { c.clusterID = id })
}

// WithClock sets where the oracle reads the time, overriding time.Now. The clock
// may jump: timestamps follow it forwards and never go back. It is called
// concurrently, once for each request. Delays and latencies do not depend on it.
func WithClock(now func() time.Time) Option {
	return optionFunc(func(c *config) { c.clock = now })
}

// WithWatch makes every member serve what a client needs of PD's etcd to be told who leads: Range
// (serializable) and Watch of single keys. There are those of the leader, /pd/<cluster id>/leader,
// and of who leads a dc-location, /pd/<cluster id>/lta/<name>, with a pdpb.Member each. The default
// is none of it: both calls are Unimplemented.
func WithWatch() Option {
	return optionFunc(func(c *config) { c.watch = true })
}
