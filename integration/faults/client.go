package faults

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pingcap/log"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"
	"github.com/tikv/pd/client/pkg/caller"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/tsoring/tso"
)

// The clients that Run knows.
const (
	// Ours is the client of this repository.
	Ours = "ours"
	// Upstream is PD's own client, github.com/tikv/pd/client.
	Upstream = "upstream"
)

// Options are those of a client that matter to faults, the rest is by default.
type Options struct {
	Forwarding    bool // WithForwardingOption
	FollowerProxy bool // EnableTSOFollowerProxy
	Keepalive     bool // the caller gives gRPC's keepalive, 10 s and 3 s
	LocalTSO      bool // the cluster has it, and calls go to each dc-location

	counter *counter // counts what is sent, if there is one
}

// client is a client under load.
type client interface {
	get(ctx context.Context, dc string) (physical, logical int64, err error)
	close()
}

// open returns a client of the cluster at some addresses.
func open(name string, urls []string, o Options, log *zap.Logger) (client, error) {
	switch name {
	case Ours:
		return openOurs(urls, o, log)
	case Upstream:
		return openUpstream(urls, o)
	case Watching:
		return openWatching(urls, o)
	case Nobody:
		return nobody{}, nil
	}
	return nil, fmt.Errorf("faults: no client is called %q", name)
}

// dialOptions are what a careful caller has given so far, and what counts.
func (o Options) dialOptions() (opts []grpc.DialOption) {
	if o.Keepalive {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 3 * time.Second,
		}))
	}
	if o.counter != nil {
		opts = append(opts, grpc.WithStatsHandler(o.counter))
	}
	return opts
}

type ours struct{ client tso.Client }

func openOurs(urls []string, o Options, log *zap.Logger) (client, error) {
	c, err := tso.NewClient(urls, tso.SecurityOption{}, tso.WithLogger(log),
		tso.WithForwardingOption(o.Forwarding), tso.WithGRPCDialOptions(o.dialOptions()...))
	if err != nil {
		return nil, err
	}
	if err := c.UpdateOption(tso.EnableTSOFollowerProxy, o.FollowerProxy); err != nil {
		c.Close()
		return nil, err
	}
	return ours{c}, nil
}

func (c ours) get(ctx context.Context, dc string) (physical, logical int64, err error) {
	if dc == "" {
		return c.client.GetTS(ctx)
	}
	return c.client.GetLocalTS(ctx, dc)
}

func (c ours) close() { c.client.Close() }

type upstream struct{ client pd.Client }

// quiet silences the logger of the whole process that PD's client writes to, but
// for the last words with which that client ends the process.
var quiet = sync.OnceFunc(func() {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	level := zap.NewAtomicLevelAt(zapcore.FatalLevel)
	core := zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), level)
	log.ReplaceGlobals(zap.New(core), &log.ZapProperties{Core: core, Syncer: zapcore.Lock(os.Stderr), Level: level})
})

// openUpstream takes 5 s: for so long the client looks for a router service.
func openUpstream(urls []string, o Options) (client, error) {
	quiet()
	c, err := pd.NewClient(caller.Component("tso-faults"), urls, pd.SecurityOption{},
		opt.WithForwardingOption(o.Forwarding), opt.WithGRPCDialOptions(o.dialOptions()...))
	if err != nil {
		return nil, err
	}
	if err := c.UpdateOption(opt.EnableTSOFollowerProxy, o.FollowerProxy); err != nil {
		c.Close()
		return nil, err
	}
	return upstream{c}, nil
}

// get knows no dc-locations: this client has given them up.
func (c upstream) get(ctx context.Context, _ string) (physical, logical int64, err error) {
	return c.client.GetTS(ctx)
}

func (c upstream) close() { c.client.Close() }
