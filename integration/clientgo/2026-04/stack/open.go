package stack

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/pingcap/log"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"
	"github.com/tikv/pd/client/pkg/caller"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	pd2025 "github.com/tsoring/tso/pdcompat/pd2025"
)

// component is who PD is told that calls.
const component = caller.Component("stack")

// Upstream opens PD's own client with the options that client-go sets by default, and those
// given.
func Upstream(more ...opt.ClientOption) OpenPD {
	return func(ctx context.Context, addrs []string) (pd.Client, error) {
		return pd.NewClientWithContext(ctx, component, addrs, pd.SecurityOption{}, append(options(), more...)...)
	}
}

// Ours opens the client that stands in for that one, in the same way.
func Ours(more ...opt.ClientOption) OpenPD {
	return func(ctx context.Context, addrs []string) (pd.Client, error) {
		return pd2025.NewClientWithContext(ctx, component, addrs, pd2025.SecurityOption{}, append(options(), more...)...)
	}
}

// Wrapped opens PD's own client and then puts the other one around it.
func Wrapped(more ...opt.ClientOption) OpenPD {
	return func(ctx context.Context, addrs []string) (pd.Client, error) {
		upstream, err := Upstream(more...)(ctx, addrs)
		if err != nil {
			return nil, err
		}
		client, err := pd2025.Wrap(upstream, addrs, pd2025.SecurityOption{}, append(options(), more...)...)
		if err != nil {
			upstream.Close()
			return nil, err
		}
		return client, nil
	}
}

// options are those of [tikv.NewPDClient] by default, and one more: the PD that tests run is
// older than the streams on which regions can be asked for.
func options() []opt.ClientOption {
	return []opt.ClientOption{
		opt.WithGRPCDialOptions(grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 3 * time.Second,
		})),
		opt.WithCustomTimeoutOption(3 * time.Second),
		opt.WithEnableRouterClient(false),
	}
}

// Quiet silences the loggers of the whole process that client-go, PD's client and etcd's
// write to. Clients that there are already go on.
var Quiet = sync.OnceFunc(func() {
	log.ReplaceGlobals(zap.NewNop(), &log.ZapProperties{})
	_ = os.Setenv("ETCD_CLIENT_DEBUG", "fatal") // fails for other names only
})
