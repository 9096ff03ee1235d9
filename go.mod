module github.com/tsoring/tso

go 1.25.0

// What stands here is forced on every program that uses this module, so it is low: the
// lowest with which all tests pass and nothing else is required (linters, by older zap and
// goleak; a YAML with a known hole, by older testify). A kvproto of July 2026 keeps
// client-go from compiling, see integration/beside. Of gRPC, v1.75.1 fails against hostile
// frames; those between have not been tried.
require (
	github.com/pingcap/kvproto v0.0.0-20230317010544-b47a4830141f
	github.com/stretchr/testify v1.8.0
	github.com/valyala/bytebufferpool v1.0.0
	go.uber.org/goleak v1.1.12
	go.uber.org/zap v1.19.0
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.11
	pgregory.net/rapid v1.1.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	go.uber.org/atomic v1.7.0 // indirect
	go.uber.org/multierr v1.6.0 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
