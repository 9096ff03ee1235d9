package pd

import pd "github.com/tikv/pd/client"

// The names of github.com/tikv/pd/client that its users write, so that a program that
// changes its import finds them here.
type (
	APIContext             = pd.APIContext
	APIVersion             = pd.APIVersion
	Client                 = pd.Client
	GCClient               = pd.GCClient
	GetResourceGroupOp     = pd.GetResourceGroupOp
	GetResourceGroupOption = pd.GetResourceGroupOption
	GlobalConfigItem       = pd.GlobalConfigItem
	KeyspaceClient         = pd.KeyspaceClient
	RPCClient              = pd.RPCClient
	ResourceManagerClient  = pd.ResourceManagerClient
	SecurityOption         = pd.SecurityOption
)

// The API versions.
const (
	V1 = pd.V1
	V2 = pd.V2
)

// ControllerConfigPathPrefixBytes is where PD keeps the configuration of its controller of
// resource groups.
var ControllerConfigPathPrefixBytes = pd.ControllerConfigPathPrefixBytes

// GroupSettingsPathPrefixBytes is where PD keeps its resource groups.
var GroupSettingsPathPrefixBytes = pd.GroupSettingsPathPrefixBytes

// NewAPIContextV1 returns the context of the API without keyspaces.
func NewAPIContextV1() APIContext { return pd.NewAPIContextV1() }

// NewAPIContextV2 returns the context of the API for a keyspace, the default one if the name
// is empty.
func NewAPIContextV2(keyspaceName string) APIContext { return pd.NewAPIContextV2(keyspaceName) }

// WithRUStats has resource groups come with what they have used.
func WithRUStats(op *GetResourceGroupOp) { pd.WithRUStats(op) }
