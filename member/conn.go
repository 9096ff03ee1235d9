package member

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
)

// How connections behave. A caller's dial options come after these and win.
const (
	// grpc-go begins to reconnect after 1 s and ends at 120 s. A member restarts in less, and a client without a
	// connection is a client that waits.
	connectBaseDelay  = 50 * time.Millisecond
	connectMultiplier = 1.6
	connectJitter     = 0.2
	connectMaxDelay   = time.Second

	// windowSize is the smallest that HTTP/2 allows to configure here. A fixed one stops grpc-go from measuring the
	// bandwidth with a ping on every read, which costs some 10 µs per round trip; a timestamp needs 30 bytes.
	windowSize = 64 << 10

	// maxHeadersSize is how large the headers of a call may be, an error's text included. grpc-go's own limit lets a
	// server that has gone mad fill 16 MiB a call.
	maxHeadersSize = 64 << 10

	// maxMembersSize is how large an answer to GetMembers may be. It is far above what any cluster sends.
	maxMembersSize = 16 << 20
)

// dialOptions returns what the options of all connections have in common; optionsFor has the rest.
//
// Proxies from the environment (HTTPS_PROXY) are not used: PD's addresses are the cluster's own, a proxy would add a hop
// to every timestamp and cut idle streams, and the dialer that this client uses for latency goes around them anyway.
// Who needs one gives grpc.WithContextDialer.
//
// grpc's own retries are left alone: without a service config, which the passthrough resolver never delivers, only
// transparent ones remain (nothing of the request was sent), and switching them off saves nothing per call.
func dialOptions(callers []grpc.DialOption) []grpc.DialOption {
	ours := []grpc.DialOption{
		grpc.WithNoProxy(),
		grpc.WithStaticStreamWindowSize(windowSize),
		grpc.WithStaticConnWindowSize(windowSize),
		grpc.WithMaxHeaderListSize(maxHeadersSize),
	}
	return append(ours, callers...)
}

// connectParams returns how often to connect, and for how long to try it each time.
func connectParams(limit time.Duration) grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{
			BaseDelay:  connectBaseDelay,
			Multiplier: connectMultiplier,
			Jitter:     connectJitter,
			MaxDelay:   connectMaxDelay,
		},
		MinConnectTimeout: limit,
	})
}

// connections holds one gRPC connection per URL. Its methods may be called from any goroutine.
//
// A plain mutex guards the map: connections are looked up when a stream is opened, not when a timestamp is asked for,
// and nothing that waits is done under it.
type connections struct {
	options  []grpc.DialOption // Read-only, like the next three.
	dial     dialer
	contacts *contacts
	timeout  time.Duration // Config.Timeout.

	mu    sync.Mutex
	byURL map[string]*grpc.ClientConn // Guarded by mu; nil once closed.
	held  atomic.Int64                // How many those are; written under mu, for Stats, which takes no lock.
	// lost is called when one of those was up and is not any more. watchers wait for that.
	lost     func()
	watchers sync.WaitGroup
	// replaced is when the connection to a URL last took another one's place. Guarded by mu.
	replaced map[string]time.Time
	// retired are connections that have been replaced, with what will close them. Guarded by mu.
	retired map[*grpc.ClientConn]*time.Timer
	// mendings are the last questions on new connections to URLs in doubt. Guarded by mu.
	mendings map[string]*mending
}

func newConnections(dial dialer, contacts *contacts, options []grpc.DialOption, timeout time.Duration, lost func()) *connections {
	return &connections{
		options:  options,
		dial:     dial,
		contacts: contacts,
		timeout:  timeout,
		lost:     lost,
		byURL:    make(map[string]*grpc.ClientConn),
		retired:  make(map[*grpc.ClientConn]*time.Timer),

		replaced: make(map[string]time.Time),
		mendings: make(map[string]*mending),
	}
}

// dialer is Config.Dial.
type dialer = func(url string, fresh bool) func(ctx context.Context, address string) (net.Conn, error)

// optionsFor returns the options of a connection to a URL in normal form.
func (c *connections) optionsFor(normal string, fresh bool, limit time.Duration) []grpc.DialOption {
	dial := dialTCP
	if c.dial != nil {
		dial = c.dial(normal, fresh)
	}
	options := append(c.contacts.options(normal, dial), connectParams(limit))
	return append(options, c.options...)
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// get returns the connection for a URL in normal form, and makes it if there is none. It never waits for the network.
func (c *connections) get(normal string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byURL == nil {
		return nil, ErrClosed
	}
	if conn, ok := c.byURL[normal]; ok {
		return conn, nil
	}
	conn, err := c.create(normal, false, firstLimit)
	if err != nil {
		return nil, err
	}
	c.put(normal, conn, firstLimit)
	return conn, nil
}

// put makes conn the connection to a URL, and watches it; a connect may take limit. Under mu, before closeAll.
func (c *connections) put(normal string, conn *grpc.ClientConn, limit time.Duration) {
	c.byURL[normal] = conn
	c.held.Store(int64(len(c.byURL)))
	c.watchers.Go(func() { c.watch(normal, conn, limit) })
}

// create makes a connection to a URL in normal form; a connect may take limit. It never waits for the network.
func (c *connections) create(normal string, fresh bool, limit time.Duration) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(dialTarget(normal), c.optionsFor(normal, fresh, limit)...)
	if err != nil {
		return nil, fmt.Errorf("connection to %s: gRPC refuses the dial options: %w", normal, err)
	}
	return conn, nil
}

// fresh makes a connection that nobody shares, whose first connect may take as long as who waits for it.
func (c *connections) fresh(normal string) (*grpc.ClientConn, error) {
	return c.create(normal, true, c.freshLimit())
}

// replace puts conn, from fresh, in the place of old. If that is not the connection to a URL any more, or has itself taken
// another one's place within the timeout, then it is not what was doubted, and the one that there is stays, unless that is
// down.
func (c *connections) replace(normal string, old, conn *grpc.ClientConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byURL == nil {
		_ = conn.Close() // Nothing to lose: it has just been made.
		return true
	}
	current := c.byURL[normal]
	if (current != old || time.Since(c.replaced[normal]) < c.timeout) && !isDown(current) {
		return false
	}
	c.put(normal, conn, c.freshLimit())
	c.replaced[normal] = time.Now()
	c.retire(current)
	return true
}

// isDown reports whether there is a connection, and it is not up although somebody has wanted it to be.
func isDown(conn *grpc.ClientConn) bool {
	if conn == nil {
		return false
	}
	state := conn.GetState()
	return state == connectivity.TransientFailure || state == connectivity.Connecting
}

// retiredLife is how long a connection that has been replaced may be used on, if it is up: a stream on it that is in good
// order ends with it, and is opened anew on the other at once, if streams have not just been opened in numbers. That is so
// after trouble, in which connections are replaced, and is over by then.
const retiredLife = 10 * time.Second

// retire closes a connection that has been replaced when all who used it have had time to find out whether they have to
// leave it. Under mu, before closeAll.
func (c *connections) retire(old *grpc.ClientConn) {
	life := c.timeout
	if old.GetState() == connectivity.Ready {
		life = max(life, retiredLife)
	}
	c.retired[old] = time.AfterFunc(life, func() { c.bury(old) })
}

// bury closes a retired connection.
func (c *connections) bury(conn *grpc.ClientConn) {
	c.mu.Lock()
	delete(c.retired, conn)
	c.mu.Unlock()
	closeConns([]*grpc.ClientConn{conn})
}

// retain closes the connections to every URL that is not in keep, which is sorted.
func (c *connections) retain(keep []string) {
	var closing []*grpc.ClientConn
	c.mu.Lock()
	for u, conn := range c.byURL {
		if _, wanted := slices.BinarySearch(keep, u); !wanted {
			closing = append(closing, conn)
			delete(c.byURL, u)
			delete(c.replaced, u)
			delete(c.mendings, u)
		}
	}
	c.held.Store(int64(len(c.byURL)))
	c.mu.Unlock()
	closeConns(closing) // Outside of the mutex: closing tells whoever uses the connection.
}

// closeAll closes everything, for good.
func (c *connections) closeAll() {
	c.mu.Lock()
	closing := slices.Collect(maps.Values(c.byURL))
	for conn, timer := range c.retired {
		timer.Stop()
		closing = append(closing, conn)
	}
	c.byURL, c.retired = nil, nil
	c.held.Store(0)
	c.mu.Unlock()
	closeConns(closing)
	c.watchers.Wait() // Closing has ended them.
}

// closeConns closes all at once: each takes a moment where its peer reads nothing any more. It ignores the errors: the only
// one is that a connection is closed already, by somebody who got it from here.
func closeConns(conns []*grpc.ClientConn) {
	var closing sync.WaitGroup
	for _, conn := range conns {
		closing.Go(func() { _ = conn.Close() })
	}
	closing.Wait()
}
