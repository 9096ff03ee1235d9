package tso

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/member"
)

// SecurityOption names the certificates for TLS, by path or as PEM bytes. The
// zero value means plain connections, which an address with https:// refuses; an
// address with http:// is connected to with TLS where there are certificates. Files
// are read again when they change. Where client and members cannot agree on TLS, or
// do not accept each other's certificates, NewClient says so at once (ErrSecurity),
// and a client that is there goes on trying: certificates may be on their way.
type SecurityOption = member.Security

// ClientOption is an option of NewClient.
type ClientOption func(*config)

// config is what the options set. It is checked once, and then only read.
type config struct {
	dialOptions []grpc.DialOption
	timeout     time.Duration
	budget      time.Duration
	maxRetry    int
	initTimeout time.Duration // once checked, 0 for none
	forwarding  bool
	log         *zap.Logger
	warnings    io.Writer // for the constructor's warning where log writes nothing; else nil
	fallback    func(FallbackEvent)
	closed      error // what calls return after Close; Is ErrClosed
	capacity    int
}

// Defaults of the options.
const (
	defaultTimeout  = 3 * time.Second
	defaultBudget   = 20 * time.Second
	defaultMaxRetry = 100
	ringCapacity    = 65_536

	// forever is as long as a duration may be so that adding some to it cannot
	// overflow: 73 years.
	forever = 1 << 61
)

// WithGRPCDialOptions adds options for connections to PD. They are applied after
// the client's own, so that the caller's win. One that brings TLS
// (grpc.WithTransportCredentials) takes the place of the SecurityOption, which is to be
// empty then; addresses may be written with https:// all the same. Why such a
// connection fails, gRPC's texts say alone.
func WithGRPCDialOptions(opts ...grpc.DialOption) ClientOption {
	return func(c *config) { c.dialOptions = append(c.dialOptions, opts...) }
}

// WithCustomTimeoutOption sets how long one RPC may take, overriding the default
// of 3 s. It must be positive. A stream whose oldest request is unanswered for
// that long is given up; its calls go on with the next one.
func WithCustomTimeoutOption(timeout time.Duration) ClientOption {
	return func(c *config) { c.timeout = timeout }
}

// WithRequestBudget sets how long a call may take whose context ends later or
// never, overriding the default of 20 s, which is longer than PD's longest
// election (13.5 s). It must be at least 1 ms. A call ends with ErrBudgetSpent
// late by up to a twentieth of the budget, or 15 ms if that is more, later in a
// process that leaves no processor time for it, and never early. A call that had to wait
// for room among 65,536 queued ones may end as late again as it waited.
func WithRequestBudget(budget time.Duration) ClientOption {
	return func(c *config) { c.budget = budget }
}

// WithMaxErrorRetry sets how often NewClient asks the given addresses, about once
// a second, before it fails, overriding the default of 100. It must be positive. In
// the first second it asks more often, which counts as once. Where nobody answers,
// not even to refuse, asking once takes as long as an RPC may take; to bound the
// time whatever happens, use WithInitTimeout.
func WithMaxErrorRetry(count int) ClientOption {
	return func(c *config) { c.maxRetry = count }
}

// WithInitTimeout bounds how long NewClient may take to find the cluster and its
// leader. It must be positive. Whichever ends first ends it: this, the tries of
// WithMaxErrorRetry, or the context given to NewClientWithContext. Without it only
// those two do. The error then Is context.DeadlineExceeded, and also what the last
// try came to, such as ErrUnavailable or ErrNoLeader. Unlike the context's end it
// does nothing to a client that is there.
func WithInitTimeout(timeout time.Duration) ClientOption {
	return func(c *config) { c.initTimeout = timeout }
}

// WithClosedError sets what calls return when the client has been closed, instead of
// ErrClosed, which err must be as errors.Is sees it. It is for a package that stands in for
// another client, whose programs look for what that one returned.
func WithClosedError(err error) ClientOption {
	return func(c *config) { c.closed = err }
}

// WithForwardingOption lets the client ask through a follower while the member that
// serves it cannot be reached from here but the follower can; the default is false. The
// client goes back to the direct way within about a second of its return. With it on,
// a client without calls asks its members each second whether they are well, and one that
// reaches the leader asks a follower for a timestamp of the leader's every few seconds.
// Timestamps of dc-locations do not go through others: PD mixes up their scopes.
func WithForwardingOption(enableForwarding bool) ClientOption {
	return func(c *config) { c.forwarding = enableForwarding }
}

// WithLogger sets where the client logs, overriding zap's global logger as it is
// when the client is created. That one writes nothing until a program replaces it;
// while it does not, NewClient tells standard error, in one line, when it has not
// found the cluster at its first try. zap.NewNop() given here is silent in that, too.
func WithLogger(log *zap.Logger) ClientOption {
	return func(c *config) { c.log = log }
}

// WithFallbackHook sets a function that is called for each answer of PD that
// grants timestamps which are not above those granted before. None of them is
// handed out. The function runs on the goroutine that receives answers: it must
// return soon, and must neither call Close nor wait for a timestamp.
func WithFallbackHook(hook func(FallbackEvent)) ClientOption {
	return func(c *config) { c.fallback = hook }
}

// FallbackEvent tells of timestamps that PD granted although it had granted them,
// or larger ones, before. It happens when a PD cluster loses its state, or two
// members believe that they lead; somebody should look at the cluster.
type FallbackEvent struct {
	DCLocation string // "global" for GetTS
	URL        string // the member that answered
	Granted    uint64 // the first timestamp of the answer, composed
	Highest    uint64 // the largest that the client has handed out, composed
}

// err makes an error of the event.
func (e FallbackEvent) err() error {
	return fmt.Errorf("%w: %s granted %d after %d for dc-location %q; the cluster has lost its state, or two members believe that they lead: "+
		"see \"pd-ctl -u %s member leader show\", the same at the other members, and whether PD was restored from older data "+
		"(\"pd-ctl tso %d\" tells the time of a timestamp); calls succeed again when PD grants larger ones",
		ErrTimestampFallback, e.URL, e.Granted, e.Highest, e.DCLocation, e.URL, e.Granted)
}

func newConfig(opts []ClientOption) (*config, error) {
	c := &config{
		timeout:     defaultTimeout,
		budget:      defaultBudget,
		maxRetry:    defaultMaxRetry,
		initTimeout: forever,
		closed:      ErrClosed,
		capacity:    ringCapacity,
	}
	for _, opt := range opts {
		if opt != nil {
			opt(c)
		}
	}
	if c.log == nil {
		c.log = zap.L()
		if c.log.Core() == zapcore.NewNopCore() { // the global logger as it is until a program replaces it
			c.warnings = os.Stderr
		}
	}
	c.timeout, c.budget = min(c.timeout, forever), min(c.budget, forever)
	err := c.check()
	if c.initTimeout >= forever {
		c.initTimeout = 0
	}
	return c, err
}

// check finds all options that cannot be used.
func (c *config) check() error {
	var bad []error
	for _, rule := range []struct {
		ok   bool
		text string
		got  any
	}{
		{c.timeout > 0, "WithCustomTimeoutOption needs a positive duration, got %v", c.timeout},
		{c.budget >= time.Millisecond, "WithRequestBudget needs at least 1ms, got %v", c.budget},
		{c.maxRetry > 0, "WithMaxErrorRetry needs a positive count, got %v", c.maxRetry},
		{errors.Is(c.closed, ErrClosed), "WithClosedError needs an error that Is ErrClosed, got %v", c.closed},
		{c.initTimeout > 0, "WithInitTimeout needs a positive duration, got %v", c.initTimeout},
	} {
		if !rule.ok {
			bad = append(bad, fmt.Errorf("%w: "+rule.text, ErrInvalidOption, rule.got))
		}
	}
	return errors.Join(bad...)
}

// DynamicOption is an option that UpdateOption can change at any time.
type DynamicOption int

const (
	// MaxTSOBatchWaitInterval is how long a request may wait for others to
	// share its RPC, a time.Duration from 0 to 10ms. The default, 0, sends at
	// once; requests that come while an RPC is under way share the next one
	// all the same.
	MaxTSOBatchWaitInterval DynamicOption = iota
	// EnableTSOFollowerProxy (bool) spreads the requests for global timestamps over
	// all members, which pass them on to the leader and put those of many clients
	// together. That relieves a leader which serves thousands of clients, and costs
	// each call a hop; only one RPC is under way at a time. The default is false.
	// Requests go to the leader alone until each of the others has answered one of
	// nobody's, and for some seconds when streams have broken many times in a row. A
	// member that does not answer within the RPC timeout is left out, and tried again
	// ever less often, once a minute at last.
	EnableTSOFollowerProxy
	// TSOClientRPCConcurrency bounds how many RPCs may be under way for a
	// dc-location, an int of at least 1; more than 64, the default, means 64.
	// How many there are within it the client decides by the round trip: 2 where
	// PD is near, and one for each 0.6 ms where it is not.
	TSOClientRPCConcurrency
)

const maxLinger = 10 * time.Millisecond

// updateOption changes a dynamic option of env. The texts contain those of
// PD's client, which programs are known to search for.
func updateOption(env *laneEnv, option DynamicOption, value any) error {
	wrongType := func(name, want string) error {
		return fmt.Errorf("%w: [pd] invalid value type for %s option, it should be %s, got %T", ErrInvalidOption, name, want, value)
	}
	switch option {
	case MaxTSOBatchWaitInterval:
		d, ok := value.(time.Duration)
		if !ok {
			return wrongType("MaxTSOBatchWaitInterval", "time.Duration")
		}
		if d < 0 || d > maxLinger {
			return fmt.Errorf("%w: [pd] invalid max TSO batch wait interval, should be between 0 and 10ms, got %v", ErrInvalidOption, d)
		}
		env.linger.Store(int64(d))
	case EnableTSOFollowerProxy:
		on, ok := value.(bool)
		if !ok {
			return wrongType("EnableTSOFollowerProxy", "bool")
		}
		env.proxy.Store(on)
	case TSOClientRPCConcurrency:
		n, ok := value.(int)
		if !ok {
			return wrongType("TSOClientRPCConcurrency", "int")
		}
		if n < 1 {
			return fmt.Errorf("%w: TSOClientRPCConcurrency should be at least 1, got %d", ErrInvalidOption, n)
		}
		env.inFlight.Store(int32(min(n, maxInFlight)))
	default:
		return fmt.Errorf("%w: [pd] unsupported client option %d", ErrInvalidOption, option)
	}
	return nil
}

// newBatch is the New function of a client's pool of batches.
func newBatch() any { return new(batch.Batch[*request]) }
