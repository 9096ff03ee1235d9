package pd

import pd "github.com/tikv/pd/client"

// The names of github.com/tikv/pd/client that its users write, so that a program that
// changes its import finds them here.
type (
	Client           = pd.Client
	DynamicOption    = pd.DynamicOption
	GetRegionOp      = pd.GetRegionOp
	GetRegionOption  = pd.GetRegionOption
	GetStoreOp       = pd.GetStoreOp
	GetStoreOption   = pd.GetStoreOption
	GlobalConfigItem = pd.GlobalConfigItem
	KeyspaceClient   = pd.KeyspaceClient
	Region           = pd.Region
	RegionsOp        = pd.RegionsOp
	RegionsOption    = pd.RegionsOption
	SecurityOption   = pd.SecurityOption
	TSFuture         = pd.TSFuture
)

// The options that UpdateOption changes.
const (
	MaxTSOBatchWaitInterval = pd.MaxTSOBatchWaitInterval
	EnableTSOFollowerProxy  = pd.EnableTSOFollowerProxy
)

// IsLeaderChange reports whether an error says that PD's leader has changed.
func IsLeaderChange(err error) bool { return pd.IsLeaderChange(err) }

// WithBuckets has a region come with its buckets.
func WithBuckets() GetRegionOption { return pd.WithBuckets() }

// WithExcludeTombstone leaves out stores that are gone for good.
func WithExcludeTombstone() GetStoreOption { return pd.WithExcludeTombstone() }

// WithGroup names the group that regions are scattered or split in.
func WithGroup(group string) RegionsOption { return pd.WithGroup(group) }

// WithRetry bounds how often scattering or splitting a region is tried.
func WithRetry(retry uint64) RegionsOption { return pd.WithRetry(retry) }
