// Package member knows the members of a cluster of Placement Driver (PD) servers: who leads, who follows, who serves
// which dc-location, and how to connect to each.
//
// What is known at one moment is a Snapshot, an immutable value behind an atomic pointer. One goroutine, the loop,
// replaces it: once a minute, and whenever somebody asks for it because a server said that it does not lead any more.
// The loop asks all members at once and believes the first usable answer, so that a member that does not answer costs
// nothing (see round.go), and it holds back while asking brings nothing new (see pacer.go). The addresses that the
// client was made with, the seeds, are asked for ever.
//
//	address.go   the normal form of an address
//	snapshot.go  what an answer says, and which answers are not believed
//	poll.go      the judgement over the answers of one round; no clock, no I/O
//	round.go     one round: ask all, wait no longer than is useful
//	mend.go      what one member says, on another connection where the first one is in doubt
//	check.go     whether all addresses belong to another cluster
//	pacer.go     when the next round may start
//	loop.go      the loop, and how to ask it for a round
//	found.go     the first snapshot
//	watch.go     what watches say of the leader's office
//	post.go      where a watch is kept, and how one tells that it is alive
//	conn.go      one gRPC connection per URL, and those that take its place
//	connect.go   how long a connect may take
//	security.go  certificates: what is required of them
//	creds.go     certificates read anew for each handshake
//	contact.go   how connections begin: with TLS or without, and why they do not
//	refusal.go   why they do not, in words
//	probe.go     whether a server that hangs up speaks the other way
package member

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const (
	defaultTimeout  = 3 * time.Second
	defaultMaxRetry = 100
)

// Config is what New needs to know. Only Seeds has no default.
type Config struct {
	// Seeds are the addresses of one or more members, or a name that leads to one. See ParseAddress for their form.
	Seeds []string
	// Security holds the certificates. Without any, connections are not encrypted.
	Security Security
	// Dial, if not nil, returns what connects to the member at a URL in normal form; fresh says that it is for a
	// connection from Fresh.
	Dial func(url string, fresh bool) func(ctx context.Context, address string) (net.Conn, error)
	// Turn, if not nil, takes a turn for a connection beside one that is in doubt, and returns how long to wait for it, or
	// false if there is none soon. It may be called from any goroutine.
	Turn func() (wait time.Duration, ok bool)
	// DialOptions are applied to each connection after the package's own, and so override them, Dial included.
	DialOptions []grpc.DialOption
	// Timeout bounds each question to a member. Zero or less means 3 s.
	Timeout time.Duration
	// MaxRetry is how often New asks all seeds, about once a second, before it gives up; the quick rounds of the first
	// second count as one. Zero or less means 100.
	MaxRetry int
	// InitTimeout bounds how long New may take. Zero or less means no bound but MaxRetry and the context.
	InitTimeout time.Duration
	// Logger takes the package's log, nil for none.
	Logger *zap.Logger
	// Warnings, if not nil, takes the one warning that New gives while it has found nothing, as a line, in Logger's place:
	// for when Logger is silent because nobody has thought of it.
	Warnings io.Writer
	// OnOffice, if not nil, is called when Office says something else than before. It must return soon, may be called from any
	// goroutine, and by more than one at a time.
	OnOffice func()
	// OnChange, if not nil, is called with each snapshot that differs from the one before, right after it was
	// published. The one that New makes is not reported. OnChange runs on the loop's goroutine, where it holds up
	// further refreshes: it must return soon, and must call neither Close nor RefreshWait.
	OnChange func(*Snapshot)
}

// Members keeps track of a cluster's members and holds the connections to them.
//
// All methods may be called from any number of goroutines. Snapshot is one atomic load; Refresh, Stats and Err never
// block; Conn takes a mutex for a moment but never waits for the network; RefreshWait and Close wait. A Members is made
// by New, owns four goroutines and one for each watch, and must be closed. It is of no use for the path of a single timestamp beyond Snapshot:
// a stream holds on to the connection that it was opened on.
type Members struct {
	cfg    Config // Read-only after New, like the next four.
	log    *zap.Logger
	secure bool     // Connections are encrypted, and all URLs https.
	seeds  []string // In normal form.
	conns  *connections

	snapshot  atomic.Pointer[Snapshot] // Written by New, then by the loop only.
	candidate atomic.Pointer[string]   // See Candidate; written by the loop only.
	lastRound atomic.Pointer[outcome]  // How the latest round ended; written by the loop only.
	rounds    line                     // Of the loop.
	checks    line                     // Of checkLoop.
	watches   watches

	counters counters

	ctx       context.Context // Done once Close has been called.
	cancel    context.CancelFunc
	running   sync.WaitGroup // The loop, and the questions that are under way.
	closeOnce sync.Once
}

// New finds the cluster that the seeds belong to and its leader, and starts to follow it.
//
// It asks all seeds at the same time, again and again (MaxRetry), until one of them names a leader. All that answer
// must belong to one cluster; it waits 200 ms at most for those that are slower than the first. It returns an error
// at once if the configuration is wrong (ErrInvalidAddress, ErrSecurity), the seeds belong to different clusters
// (ErrClusterMismatch), all of them refuse the caller's credentials, or TLS cannot be agreed on with any of them (ErrSecurity
// and ErrUnavailable); otherwise after the last try (ErrNoLeader if a
// member answered, else ErrUnavailable; with what each address came to), or when ctx or InitTimeout ends. Then the error Is
// also context.Canceled or context.DeadlineExceeded, and ctx's cause. A first round that fails is worth a warning, once.
//
// ctx bounds the construction only. What New returned lives until Close.
func New(ctx context.Context, cfg Config) (*Members, error) {
	m, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	if err := m.found(ctx); err != nil {
		m.Close()
		return nil, err
	}
	m.running.Go(m.loop)
	m.running.Go(m.checkLoop)
	m.running.Go(m.watches.first.keep)
	m.running.Go(m.watches.second.keep)
	return m, nil
}

// prepare does all of New that needs no network.
func prepare(cfg Config) (*Members, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxRetry <= 0 {
		cfg.MaxRetry = defaultMaxRetry
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	secure, plainFor := cfg.Security.enabled(), ""
	if !secure {
		plainFor = secureSeed(cfg.Seeds)
	}
	if plainFor != "" && len(cfg.DialOptions) == 0 { // With some, see contacts.
		return nil, fmt.Errorf("%w: %w", ErrSecurity, errPlainForbidden(plainFor))
	}
	seeds, err := parseSeeds(cfg.Seeds, secure, cfg.Logger)
	if err != nil {
		return nil, err
	}
	creds, err := cfg.Security.credentials(cfg.Logger)
	if err != nil {
		return nil, err
	}
	m := &Members{
		cfg:    cfg,
		log:    cfg.Logger,
		secure: secure,
		seeds:  seeds,
	}
	// A member that cannot be reached any more may be back elsewhere soon.
	m.conns = newConnections(cfg.Dial, newContacts(cfg.Security, creds, plainFor), dialOptions(cfg.DialOptions), cfg.Timeout, m.Refresh)
	m.rounds.init()
	m.checks.init()
	m.watches.init(m)
	m.lastRound.Store(&outcome{})
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m, nil
}

// Snapshot returns what is known now. It is never nil, costs one atomic load, and goes on working after Close.
func (m *Members) Snapshot() *Snapshot { return m.snapshot.Load() }

// Candidate returns the URL of the member that leads etcd but not PD, by the latest list, or "". It is the one that PD will
// elect, and serves some time before a list names it the leader. It never blocks.
func (m *Members) Candidate() string {
	if c := m.candidate.Load(); c != nil {
		return *c
	}
	return ""
}

// Err returns why the latest refresh failed, or nil if it did not. ErrClusterMismatch here means that every address
// belongs to another cluster, ErrNoLeader that an election is going on. It never blocks.
func (m *Members) Err() error { return m.lastRound.Load().err }

// Conn returns the connection to a URL, which it makes if there is none. It does not wait for the connection to be
// established: calls on it do. All callers share it, and it must not be closed by them: it is closed when its URL has
// left the snapshot, some time after another one has taken its place (Keep), and by Close. Calls on it then fail with the gRPC code Canceled; take the leader from the snapshot
// and try again.
//
// The URL may be any address that ParseAddress takes. After Close the error is ErrClosed.
func (m *Members) Conn(url string) (*grpc.ClientConn, error) {
	normal, err := ParseAddress(url, m.secure)
	if err != nil {
		return nil, err
	}
	return m.conns.get(normal)
}

// Fresh makes another connection to a URL, which nobody shares: for when the one that Conn returns brings no answer, and
// there is reason to ask whether another one would. The caller closes it, or gives it to Keep.
func (m *Members) Fresh(url string) (*grpc.ClientConn, error) {
	normal, err := ParseAddress(url, m.secure)
	if err != nil {
		return nil, err
	}
	if m.ctx.Err() != nil {
		return nil, ErrClosed
	}
	return m.conns.fresh(normal)
}

// Keep makes a connection from Fresh the one that Conn returns, in the place of old, which is closed after Config.Timeout:
// within that, those who have calls on it get their answers or look for another one. It reports false if somebody else has
// found a better one meanwhile, or within Config.Timeout; then conn stays the caller's. After Close it closes
// conn.
func (m *Members) Keep(url string, old, conn *grpc.ClientConn) bool {
	normal, err := ParseAddress(url, m.secure)
	return err == nil && m.conns.replace(normal, old, conn)
}

// Close ends everything: it stops the loop, waits for it, and closes all connections. Callers of RefreshWait return
// ErrClosed. It may be called more than once, also at the same time; each call returns when all is done.
func (m *Members) Close() {
	m.closeOnce.Do(func() {
		m.cancel()
		m.running.Wait()
		m.conns.closeAll()
	})
}
