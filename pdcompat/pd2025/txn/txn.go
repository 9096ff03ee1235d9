// Package txn has txnkv.NewClient of github.com/tikv/client-go/v2, of its master since 2025,
// by name, for programs that have no place to hand a client of PD's to. It builds the store as
// that one does, by the same settings of client-go's config package, over a client of
// pdcompat/pd2025, so that the timestamps of transactions come from this library. All that is
// done with the store is client-go's, and its other names are found where they were.
package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/tikv/client-go/v2/config"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/util"
	"github.com/tikv/pd/client/opt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/tsoring/tso/pdcompat"
	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

// component is the name that PD is told, which is that of client-go's own client.
const component = "client-go"

// ClientOpt sets an option of NewClient. These are txnkv's by name, as those cannot be read.
type ClientOpt func(*options)

type options struct {
	apiVersion      kvrpcpb.APIVersion
	keyspace        string
	safePointPrefix string
	pd              []opt.ClientOption
}

// WithKeyspace names the keyspace that is worked in, with an API version of V2.
func WithKeyspace(keyspaceName string) ClientOpt {
	return func(o *options) { o.keyspace = keyspaceName }
}

// WithAPIVersion sets the version of TiKV's API: V1, which is the default, or V2.
func WithAPIVersion(apiVersion kvrpcpb.APIVersion) ClientOpt {
	return func(o *options) { o.apiVersion = apiVersion }
}

// WithSafePointKVPrefix sets what the keys of safe points in PD's etcd begin with.
func WithSafePointKVPrefix(prefix string) ClientOpt {
	return func(o *options) { o.safePointPrefix = prefix }
}

// WithPDOptions adds options of PD's client, which txnkv has no way to set. A PD older than v9
// needs opt.WithEnableRouterClient(false) where transactions are to find regions: it has no
// stream to ask for them on.
func WithPDOptions(opts ...opt.ClientOption) ClientOpt {
	return func(o *options) { o.pd = append(o.pd, opts...) }
}

// NewClient creates a client for transactions.
func NewClient(pdAddrs []string, opts ...ClientOpt) (*txnkv.Client, error) {
	var o options
	for _, set := range opts {
		set(&o)
	}
	client, err := newPDClient(pdAddrs, o.pd)
	if err != nil {
		return nil, err
	}
	store, err := newStore(pdAddrs, client, &o)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &txnkv.Client{KVStore: store}, nil
}

// Stats returns what the client of NewClient has done for timestamps, and whether it is one.
func Stats(client *txnkv.Client) (s pdcompat.Stats, ok bool) {
	codec, ok := client.GetPDClient().(*tikv.CodecPDClient)
	if !ok {
		return s, false
	}
	intercepted, ok := codec.Client.(*util.InterceptedPDClient)
	if !ok {
		return s, false
	}
	counted, ok := intercepted.Client.(pdcompat.StatsClient)
	if !ok {
		return s, false
	}
	return counted.Stats(), true
}

// newPDClient is tikv.NewPDClient.
func newPDClient(addrs []string, more []opt.ClientOption) (pd.Client, error) {
	cfg := config.GetGlobalConfig()
	security := pd.SecurityOption{
		CAPath:   cfg.Security.ClusterSSLCA,
		CertPath: cfg.Security.ClusterSSLCert,
		KeyPath:  cfg.Security.ClusterSSLKey,
	}
	return pd.NewClient(component, addrs, security, append([]opt.ClientOption{
		opt.WithGRPCDialOptions(grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:    time.Duration(cfg.TiKVClient.GrpcKeepAliveTime) * time.Second,
			Timeout: cfg.TiKVClient.GetGrpcKeepAliveTimeout(),
		})),
		opt.WithCustomTimeoutOption(time.Duration(cfg.PDClient.PDServerTimeout) * time.Second),
		opt.WithForwardingOption(cfg.EnableForwarding),
	}, more...)...)
}

// newStore is the rest of txnkv.NewClient. The store closes the client.
func newStore(addrs []string, client pd.Client, o *options) (*tikv.KVStore, error) {
	codec, err := newCodecClient(util.NewInterceptedPDClient(client), o)
	if err != nil {
		return nil, err
	}
	cfg := config.GetGlobalConfig()
	tlsConfig, err := cfg.Security.ToTLSConfig()
	if err != nil {
		return nil, err
	}
	safePoints, err := tikv.NewEtcdSafePointKV(addrs, tlsConfig, tikv.WithPrefix(o.safePointPrefix))
	if err != nil {
		return nil, err
	}
	uuid := fmt.Sprintf("tikv-%v", codec.GetClusterID(context.Background()))
	rpc := tikv.NewRPCClient(tikv.WithSecurity(cfg.Security), tikv.WithCodec(codec.GetCodec()))
	store, err := tikv.NewKVStore(uuid, codec, safePoints, rpc)
	if err != nil {
		return nil, errors.Join(err, rpc.Close(), safePoints.Close())
	}
	if cfg.TxnLocalLatches.Enabled {
		store.EnableTxnLocalLatches(cfg.TxnLocalLatches.Capacity)
	}
	return store, nil
}

// newCodecClient returns the outermost client, which the store demands to be of this type.
func newCodecClient(inner pd.Client, o *options) (*tikv.CodecPDClient, error) {
	switch o.apiVersion {
	case kvrpcpb.APIVersion_V1:
		return tikv.NewCodecPDClient(tikv.ModeTxn, inner), nil
	case kvrpcpb.APIVersion_V2:
		return tikv.NewCodecPDClientWithKeyspace(tikv.ModeTxn, inner, o.keyspace)
	default:
		return nil, fmt.Errorf("unknown api version: %d", o.apiVersion)
	}
}
