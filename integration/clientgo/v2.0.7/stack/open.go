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

	pd2022 "github.com/tsoring/tso/pdcompat/pd2022"
)

// The options are those of [tikv.NewPDClient] by default.
const timeout = 3 * time.Second

var keepAlive = grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second})

// Upstream opens PD's own client.
func Upstream(ctx context.Context, addrs []string) (pd.Client, error) {
	return pd.NewClientWithContext(ctx, addrs, pd.SecurityOption{},
		pd.WithGRPCDialOptions(keepAlive), pd.WithCustomTimeoutOption(timeout))
}

// Ours opens the client that stands in for that one, in the same way.
func Ours(ctx context.Context, addrs []string) (pd.Client, error) {
	return pd2022.NewClientWithContext(ctx, addrs, pd2022.SecurityOption{},
		pd2022.WithGRPCDialOptions(keepAlive), pd2022.WithCustomTimeoutOption(timeout))
}

// Wrapped opens PD's own client and then puts the other one around it.
func Wrapped(ctx context.Context, addrs []string) (pd.Client, error) {
	upstream, err := Upstream(ctx, addrs)
	if err != nil {
		return nil, err
	}
	client, err := pd2022.Wrap(upstream, addrs, pd2022.SecurityOption{},
		pd2022.WithGRPCDialOptions(keepAlive), pd2022.WithCustomTimeoutOption(timeout))
	if err != nil {
		upstream.Close()
		return nil, err
	}
	return client, nil
}

// Quiet silences the logger of the whole process that client-go and PD's client
// write to. Clients that there are already go on.
var Quiet = sync.OnceFunc(func() {
	log.ReplaceGlobals(zap.NewNop(), &log.ZapProperties{})
})
