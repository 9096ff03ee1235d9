package stack

import (
	"context"
	"sync"
	"time"

	"github.com/pingcap/log"
	pd "github.com/tikv/pd/client"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Upstream opens PD's own client with the options that client-go sets by default, and those
// given.
func Upstream(more ...pd.ClientOption) OpenPD {
	return func(ctx context.Context, addrs []string) (pd.Client, error) {
		return pd.NewClientWithContext(ctx, addrs, pd.SecurityOption{}, append(options(), more...)...)
	}
}

// options are those of [tikv.NewPDClient] by default.
func options() []pd.ClientOption {
	return []pd.ClientOption{
		pd.WithGRPCDialOptions(grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 3 * time.Second,
		})),
		pd.WithCustomTimeoutOption(3 * time.Second),
	}
}

// Quiet silences the logger of the whole process that client-go and PD's client
// write to. Clients that there are already go on.
var Quiet = sync.OnceFunc(func() {
	log.ReplaceGlobals(zap.NewNop(), &log.ZapProperties{})
})
