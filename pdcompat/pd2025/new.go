// Package pd has the constructors of github.com/tikv/pd/client by name and signature, of its
// master since 2025. They return clients of PD's whose timestamps come from this library:
// GetTS, GetTSAsync, GetMinTS, GetLocalTS and GetLocalTSAsync. All else is done by PD's own
// client inside. A program changes its import from github.com/tikv/pd/client to this, or
// only what it calls to make its client, and hands that to client-go as before.
//
// A call for a timestamp takes no longer than the timeout option, 3 s by default, since
// client-go tries again by itself: while PD elects a leader for longer, calls fail and
// client-go repeats them, as they do with PD's own client. No call fails by a leader change
// that is shorter.
//
// # What it costs to have two
//
// PD's own client inside opens no TSO stream, but asks PD for its health and its members as
// ever: some 80 RPCs a minute and 20 goroutines, with some 30 ms of processor time. This
// library's asks who grants timestamps every 3 s. Wrap leaves one idle stream.
//
// # TSO as a service of its own
//
// Where PD runs in API mode, and for keyspaces other than the default one, timestamps come
// from PD's own client, which knows keyspace groups; Stats (pdcompat.StatsClient) and the log
// say so. When PD itself begins to grant timestamps, or ceases to, they are handed over: calls
// wait until the side that comes has shown a timestamp above all before. Until then this
// library keeps one idle stream to PD, which passes it on, and of which a PD takes 5,000. A
// client for another keyspace is refused a stream to PD in API mode, on which it would get
// the timestamps of the default group.
package pd

import (
	"context"

	"github.com/pingcap/log"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/constants"
	"github.com/tikv/pd/client/opt"
	"github.com/tikv/pd/client/pkg/caller"
	"google.golang.org/grpc"

	ours "github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat/internal/handover"
)

// keyspaces is why timestamps of keyspaces are left to PD's own client.
const keyspaces = "the client is for a keyspace, whose group PD's own client knows"

// NewClient creates a client.
func NewClient(callerComponent caller.Component, svrAddrs []string, security SecurityOption, opts ...opt.ClientOption) (Client, error) {
	return NewClientWithContext(context.Background(), callerComponent, svrAddrs, security, opts...)
}

// NewClientWithContext creates a client that lives in ctx.
func NewClientWithContext(ctx context.Context, callerComponent caller.Component, svrAddrs []string,
	security SecurityOption, opts ...opt.ClientOption,
) (Client, error) {
	return build(ctx, svrAddrs, security, opts, "", func(opts []opt.ClientOption) (Client, error) {
		return pd.NewClientWithContext(ctx, callerComponent, svrAddrs, security, opts...)
	})
}

// NewClientWithKeyspace creates a client for the keyspace with an id.
func NewClientWithKeyspace(ctx context.Context, callerComponent caller.Component, keyspaceID uint32, svrAddrs []string,
	security SecurityOption, opts ...opt.ClientOption,
) (Client, error) {
	why := keyspaces
	if keyspaceID == constants.DefaultKeyspaceID {
		why = "" // it is always in the default group
	}
	return build(ctx, svrAddrs, security, opts, why, func(opts []opt.ClientOption) (Client, error) {
		return pd.NewClientWithKeyspace(ctx, callerComponent, keyspaceID, svrAddrs, security, opts...)
	})
}

// NewClientWithAPIContext creates a client for the keyspace that an API context names, or for
// none if it is one of V1.
func NewClientWithAPIContext(ctx context.Context, apiCtx APIContext, callerComponent caller.Component, svrAddrs []string,
	security SecurityOption, opts ...opt.ClientOption,
) (Client, error) {
	why := keyspaces
	if apiCtx.GetAPIVersion() != V2 || apiCtx.GetKeyspaceName() == constants.DefaultKeyspaceName {
		why = ""
	}
	return build(ctx, svrAddrs, security, opts, why, func(opts []opt.ClientOption) (Client, error) {
		return pd.NewClientWithAPIContext(ctx, apiCtx, callerComponent, svrAddrs, security, opts...)
	})
}

// Wrap returns a client that takes its timestamps from this library, connected to the given
// addresses, and has the given one do all else. Closing it closes both. The options are
// those that existing was made with, as far as they are of use to timestamps: the dial
// options, the timeout, the number of tries and forwarding.
//
// The stream that existing has opened for timestamps already stays, idle; the constructors
// of this package avoid that. A client for a keyspace other than the default one must not be
// wrapped, but made by NewClientWithKeyspace or NewClientWithAPIContext.
func Wrap(existing Client, svrAddrs []string, security SecurityOption, opts ...opt.ClientOption) (Client, error) {
	h := handover.New(config(svrAddrs, security, read(opts), ""))
	return join(context.Background(), existing, h), nil
}

// build makes PD's own client by its constructor, and this library's beside it.
func build(ctx context.Context, addrs []string, security SecurityOption, opts []opt.ClientOption, why string,
	construct func(opts []opt.ClientOption) (Client, error),
) (Client, error) {
	h := handover.New(config(addrs, security, read(opts), why))
	opts = append(opts[:len(opts):len(opts)], opt.WithGRPCDialOptions(grpc.WithChainStreamInterceptor(h.Intercept)))
	upstream, err := construct(opts)
	if err != nil {
		return nil, err
	}
	return join(ctx, upstream, h), nil
}

// join has timestamps begin to flow.
func join(ctx context.Context, upstream Client, h *handover.Handover) Client {
	h.Start(ctx, func(ctx context.Context) handover.Future { return upstream.GetTSAsync(ctx) })
	return &client{Client: upstream, timestamps: h}
}

// read returns what options set.
func read(opts []opt.ClientOption) *opt.Option {
	o := opt.NewOption()
	for _, set := range opts {
		set(o)
	}
	return o
}

func config(addrs []string, security SecurityOption, o *opt.Option, why string) handover.Config {
	return handover.Config{
		Addresses:   addrs,
		Security:    ours.SecurityOption(security),
		DialOptions: o.GRPCDialOptions,
		Timeout:     o.Timeout,
		MaxRetry:    o.MaxRetryTimes,
		Forwarding:  o.EnableForwarding,
		ServerProxy: o.UseTSOServerProxy,
		Log:         log.L(),
		Upstream:    why,
	}
}
