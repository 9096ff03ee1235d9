package pd

import (
	"time"

	pd "github.com/tikv/pd/client"
	"google.golang.org/grpc"
)

// The defaults of PD's own client.
const (
	defaultTimeout  = 3 * time.Second
	defaultMaxRetry = 100
)

// ClientOption sets an option of both clients, PD's and this library's. PD's own options
// cannot be read, so these are made anew; see WithUpstreamOptions for those of PD's.
type ClientOption func(*options)

// options is what both clients are made with: upstream's own options, and what they say.
type options struct {
	upstream    []pd.ClientOption
	dialOptions []grpc.DialOption
	timeout     time.Duration
	maxRetry    int
	forwarding  bool
}

// WithGRPCDialOptions adds dial options of gRPC.
func WithGRPCDialOptions(opts ...grpc.DialOption) ClientOption {
	return func(o *options) {
		o.upstream = append(o.upstream, pd.WithGRPCDialOptions(opts...))
		o.dialOptions = append(o.dialOptions, opts...)
	}
}

// WithCustomTimeoutOption bounds an RPC, and how long a call for a timestamp may take: 3 s
// by default.
func WithCustomTimeoutOption(timeout time.Duration) ClientOption {
	return func(o *options) {
		o.upstream = append(o.upstream, pd.WithCustomTimeoutOption(timeout))
		o.timeout = timeout
	}
}

// WithForwardingOption has a member that can be reached pass requests on to the leader while
// that cannot be; by default it does not.
func WithForwardingOption(enableForwarding bool) ClientOption {
	return func(o *options) {
		o.upstream = append(o.upstream, pd.WithForwardingOption(enableForwarding))
		o.forwarding = enableForwarding
	}
}

// WithMaxErrorRetry sets how often it is tried to connect at first: 100 times by default,
// a second apart.
func WithMaxErrorRetry(count int) ClientOption {
	return func(o *options) {
		o.upstream = append(o.upstream, pd.WithMaxErrorRetry(count))
		o.maxRetry = count
	}
}

// WithUpstreamOptions gives PD's own client options of its own, for those that a program is
// handed by another. This library cannot read them, and does without: where it then cannot
// connect (TLS by a dial option, for instance), timestamps come from PD's own client.
func WithUpstreamOptions(opts ...pd.ClientOption) ClientOption {
	return func(o *options) { o.upstream = append(o.upstream, opts...) }
}

// read returns what options set.
func read(opts []ClientOption) *options {
	o := &options{timeout: defaultTimeout, maxRetry: defaultMaxRetry}
	for _, set := range opts {
		set(o)
	}
	return o
}
