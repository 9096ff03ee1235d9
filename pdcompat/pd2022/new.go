// Package pd has the constructors of github.com/tikv/pd/client by name and signature, of 2022
// and 2023. They return clients of PD's whose timestamps come from this library: GetTS,
// GetTSAsync, GetLocalTS and GetLocalTSAsync. All else is done by PD's own client inside. A
// program changes its import from github.com/tikv/pd/client to this, or only what it calls
// to make its client, and hands that to client-go as before.
//
// A call for a timestamp takes no longer than the timeout option, 3 s by default, since
// client-go tries again by itself: while PD elects a leader for longer, calls fail and
// client-go repeats them, as they do with PD's own client. No call fails by a leader change
// that is shorter.
//
// # What is not here
//
// Tested are v0.0.0-20221031025758-80f0d8ca4d07, which client-go v2.0.4 requires, and
// v0.0.0-20230329114254-1948c247c2b1, that of client-go v2.0.7. This package has the names
// that both have; those of the later one alone (MetaStorageClient, Op and its options,
// ResourceManagerClient, ServiceDiscovery, TSOClient) are found where they were, and the
// clients made here have their methods. So is NewClientWithKeyspace: timestamps of a keyspace
// are for PD's own client, which knows its group. LeaderHealthCheckInterval is a variable,
// which can be set only where it is read, in PD's package.
//
// # What it costs to have two
//
// PD's own client inside opens no TSO stream, but asks PD for its health and its members as
// ever. Wrap leaves one idle stream for each dc-location.
//
// # When timestamps come from PD's own client
//
// Only while this library cannot connect, which it goes on trying; Stats
// (pdcompat.StatsClient) and the log say so. Where TSO is a service of its own (PD's API
// mode) this library asks PD, which passes requests on.
package pd

import (
	"context"

	"github.com/pingcap/log"
	pd "github.com/tikv/pd/client"
	"google.golang.org/grpc"

	ours "github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat/internal/handover"
)

// NewClient creates a client.
func NewClient(pdAddrs []string, security SecurityOption, opts ...ClientOption) (Client, error) {
	return NewClientWithContext(context.Background(), pdAddrs, security, opts...)
}

// NewClientWithContext creates a client that lives in ctx.
func NewClientWithContext(ctx context.Context, pdAddrs []string, security SecurityOption, opts ...ClientOption) (Client, error) {
	o := read(opts)
	h := handover.New(config(pdAddrs, security, o))
	upstream, err := pd.NewClientWithContext(ctx, pdAddrs, security,
		append(o.upstream, pd.WithGRPCDialOptions(grpc.WithChainStreamInterceptor(h.Intercept)))...)
	if err != nil {
		return nil, err
	}
	return join(ctx, upstream, h), nil
}

// Wrap returns a client that takes its timestamps from this library, connected to the given
// addresses, and has the given one do all else. Closing it closes both. The options are
// those that existing was made with, as far as they are of use to timestamps: all but
// WithUpstreamOptions.
//
// The streams that existing has opened for timestamps already stay, idle; the constructors
// of this package avoid that. A client for a keyspace other than the default one must not be
// wrapped.
func Wrap(existing Client, pdAddrs []string, security SecurityOption, opts ...ClientOption) (Client, error) {
	return join(context.Background(), existing, handover.New(config(pdAddrs, security, read(opts)))), nil
}

// join has timestamps begin to flow.
func join(ctx context.Context, upstream Client, h *handover.Handover) Client {
	h.Start(ctx, func(ctx context.Context) handover.Future { return upstream.GetTSAsync(ctx) })
	return &client{Client: upstream, timestamps: h}
}

func config(addrs []string, security SecurityOption, o *options) handover.Config {
	return handover.Config{
		Addresses:   addrs,
		Security:    ours.SecurityOption(security),
		DialOptions: o.dialOptions,
		Timeout:     o.timeout,
		MaxRetry:    o.maxRetry,
		Forwarding:  o.forwarding,
		ServerProxy: true,
		Log:         log.L(),
	}
}
