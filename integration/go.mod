// Tests of the client against a real PD, and the harness that runs one.
//
// It is a module of its own, so that what only these tests need (porcupine, a
// newer Go) is no burden to those who use the client.
module github.com/tsoring/tso/integration

go 1.26

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/pingcap/kvproto v0.0.0-20260724054804-059694ae4472
	github.com/stretchr/testify v1.12.1
	github.com/tsoring/tso v0.0.0
	go.uber.org/goleak v1.3.0
	go.uber.org/zap v1.28.0
	golang.org/x/sys v0.47.0
	google.golang.org/grpc v1.84.0
)

require (
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace github.com/tsoring/tso => ../
