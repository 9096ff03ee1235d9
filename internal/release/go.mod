// What packs the published modules, and tries them as their users will get them; in a
// module of its own so that none of its requirements reach users.
module github.com/tsoring/tso/internal/release

go 1.26.0

require (
	github.com/stretchr/testify v1.8.0
	github.com/tsoring/tso v0.0.0
	golang.org/x/mod v0.42.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/pingcap/kvproto v0.0.0-20230317010544-b47a4830141f // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
	google.golang.org/grpc v1.84.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/tsoring/tso => ../../
