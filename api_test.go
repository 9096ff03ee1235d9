package tso_test

import (
	"context"
	"iter"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"

	pd "github.com/tsoring/tso"
)

// What a program written for PD's client (v5.4) may use of it, for timestamps.
// This file compiles, or we are not a drop-in.
var (
	_ func([]string, pd.SecurityOption, ...pd.ClientOption) (pd.Client, error)                  = pd.NewClient
	_ func(context.Context, []string, pd.SecurityOption, ...pd.ClientOption) (pd.Client, error) = pd.NewClientWithContext

	_ func(...grpc.DialOption) pd.ClientOption = pd.WithGRPCDialOptions
	_ func(time.Duration) pd.ClientOption      = pd.WithCustomTimeoutOption
	_ func(bool) pd.ClientOption               = pd.WithForwardingOption
	_ func(int) pd.ClientOption                = pd.WithMaxErrorRetry

	_ = []pd.DynamicOption{pd.MaxTSOBatchWaitInterval, pd.EnableTSOFollowerProxy, pd.TSOClientRPCConcurrency}
	_ = pd.SecurityOption{CAPath: "", CertPath: "", KeyPath: "", SSLCABytes: nil, SSLCertBytes: nil, SSLKEYBytes: nil}
)

// What it has besides.
var (
	_ func(time.Duration) pd.ClientOption = pd.WithInitTimeout
	_ func(time.Duration) pd.ClientOption = pd.WithRequestBudget

	_ func(pd.Client, context.Context, int) (pd.Batch, error) = pd.Client.GetTSBatch
	_ func(pd.Batch) iter.Seq2[int64, int64]                  = pd.Batch.All
)

// timestampClient is the part of upstream's Client interface that is ours.
type timestampClient interface {
	GetClusterID(ctx context.Context) uint64
	GetAllMembers(ctx context.Context) ([]*pdpb.Member, error)
	GetLeaderAddr() string
	GetTS(ctx context.Context) (int64, int64, error)
	GetTSAsync(ctx context.Context) pd.TSFuture
	GetLocalTS(ctx context.Context, dcLocation string) (int64, int64, error)
	GetLocalTSAsync(ctx context.Context, dcLocation string) pd.TSFuture
	GetMinTS(ctx context.Context) (int64, int64, error)
	UpdateOption(option pd.DynamicOption, value any) error
	Close()
}

var _ timestampClient = pd.Client(nil)
