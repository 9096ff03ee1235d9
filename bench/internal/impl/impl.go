// Package impl puts the clients that the tools of this module run side by side
// behind one small interface:
//
//   - "tso", the client of this repository,
//   - "upstream", PD's own client github.com/tikv/pd/client,
//   - "adapter", that with timestamps of this repository's, from pdcompat/pd2025,
//   - "bare", one gRPC stream with grpc-go's default options and one request in
//     flight: what a round trip costs without any client around it.
//
// What is added to a client is a method call and, where the client does not tell
// how many RPCs it sends, a count of them.
package impl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tsoring/tso"
)

// Client is a client under load. GetTS may be called by any number of goroutines.
type Client interface {
	// GetTS returns a timestamp of the dc-location that the client was opened
	// for. The bare stream does not return when ctx ends, only when closed.
	GetTS(ctx context.Context) (physical, logical int64, err error)
	// Leader returns the URL of the PD leader, as the client knows it.
	Leader() string
	// Stats returns the counts since the client was opened.
	Stats() Stats
	// Close ends the client, and all of its calls. It may be called twice.
	Close()
}

// Async is a Client that has futures.
type Async interface {
	Client
	// GetTSAsync begins to fetch a timestamp.
	GetTSAsync(ctx context.Context) Future
}

// Batching is a Client that fetches many timestamps in one call.
type Batching interface {
	Client
	GetTSBatch(ctx context.Context, n int) (tso.Batch, error)
}

// Local is a Client that serves every dc-location.
type Local interface {
	Client
	// At returns the same client, for local timestamps of a dc-location. Closing
	// it does nothing.
	At(dc string) Client
}

// Future is a timestamp on its way. Wait must be called once.
type Future interface {
	Wait() (physical, logical int64, err error)
}

// Stats counts timestamp requests sent to PD, and the timestamps they asked for.
type Stats struct {
	RPCs, Timestamps int64
}

// Sub returns what was added since before.
func (s Stats) Sub(before Stats) Stats {
	return Stats{RPCs: s.RPCs - before.RPCs, Timestamps: s.Timestamps - before.Timestamps}
}

// Config says which cluster to go to, and how.
type Config struct {
	// Addrs are addresses of PD: host:port, or URLs.
	Addrs []string
	// DC is the dc-location for local timestamps; empty means the global scope.
	DC string
	// CAPath, CertPath and KeyPath name PEM files for TLS; empty means none.
	CAPath, CertPath, KeyPath string
	// Concurrency, if not 0, is how many RPCs the upstream client may have under
	// way (its TSOClientRPCConcurrency). It adopts that some seconds after it has
	// been told, and Open waits for it.
	Concurrency int
	// PlainDial has the client of this repository dial as a user's own dialer
	// would, without the connection that stays quick in a busy process.
	PlainDial bool
}

// The names of the clients.
const (
	TSO      = "tso"
	Upstream = "upstream"
	Adapter  = "adapter"
	Bare     = "bare"
)

// opener opens a client that lives until ctx ends or it is closed.
type opener func(ctx context.Context, cfg Config) (Client, error)

// Names returns the names that Open knows, ours first.
func Names() []string { return []string{TSO, Upstream, Adapter, Bare} }

// Check returns an error that says what to change if there is no such client, or
// if it cannot do what is asked of it. It opens nothing.
func Check(name string, cfg Config, async bool) error {
	switch {
	case !slices.Contains(Names(), name):
		return fmt.Errorf("no client is called %q, choose one of %s", name, strings.Join(Names(), ", "))
	case (name == Upstream || name == Adapter) && cfg.DC != "":
		return errors.New("the upstream client takes no local timestamps any more: it answers with global ones")
	case name == Bare && async:
		return errors.New("the bare stream has no futures")
	}
	return nil
}

// Open opens the named client. It returns when the client has found PD, or when
// ctx ends, which has no meaning for the client afterwards.
func Open(ctx context.Context, name string, cfg Config) (Client, error) {
	if err := Check(name, cfg, false); err != nil {
		return nil, err
	}
	open := map[string]opener{TSO: openTSO, Upstream: openUpstream, Adapter: openAdapter, Bare: openBare}[name]
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	keep := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	c, err := open(life, cfg)
	switch {
	case err != nil:
		end(nil)
		return nil, err
	case !keep():
		c.Close()
		end(nil)
		return nil, ctx.Err()
	}
	return c, nil
}
