package tsotest

import (
	"errors"
	"fmt"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// globalScope is PD's name for the scope of timestamps without a dc-location.
const globalScope = "global"

// ErrNotLeader is PD's error for a timestamp request to a member that does not
// lead the scope: "" or "global", or a dc-location.
func ErrNotLeader(dc string) error {
	if dc == "" || dc == globalScope {
		return errGenerate("requested pd is not leader of cluster")
	}
	return errGenerate("requested pd is not leader of " + dc + " allocator")
}

// ErrLeaderLost is PD's error when the lease ran out while timestamps were
// made, in the words of releases since 6.0.
func ErrLeaderLost() error {
	return errGenerate("requested not leader anymore")
}

// ErrLeaderLostV5 is ErrLeaderLost in the words of the releases before, in
// which neither "not leader" nor "is not leader" occurs.
func ErrLeaderLostV5() error {
	return errGenerate("not the pd or local tso allocator leader anymore")
}

// ErrNotInitialized is PD's error from a leader that has not yet written its
// first timestamp.
func ErrNotInitialized() error {
	return errGenerate("timestamp in memory isn't initialized")
}

// ErrNotStarted is the error of a member that starts up or shuts down.
func ErrNotStarted() error {
	return status.Error(codes.Unavailable, "server not started")
}

// ErrNotStartedV5 is ErrNotStarted as releases before 6.0 send it, without a
// code.
func ErrNotStartedV5() error {
	return status.Error(codes.Unknown, "server not started")
}

// ErrMismatchedCluster is PD's error for a request to another cluster.
func ErrMismatchedCluster(need, got uint64) error {
	return status.Errorf(codes.FailedPrecondition, "mismatch cluster id, need %d but got %d", need, got)
}

// HeaderError returns an edit for Reply that puts an error into the header of
// the answer and takes its timestamp out, as PD does while it relays for the
// TSO microservice. An edit of one's own can leave the timestamp in.
func HeaderError(message string) func(*pdpb.TsoResponse) {
	return func(resp *pdpb.TsoResponse) {
		resp.Header.Error = &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: message}
		resp.Timestamp = nil
	}
}

func errGenerate(cause string) error {
	return status.Error(codes.Unknown, "[PD:tso:ErrGenerateTimestamp]generate timestamp failed, "+cause)
}

func errUnknownDC(dc string) error {
	return status.Errorf(codes.Unknown,
		"[PD:tso:ErrGetAllocator]get allocator failed, %s allocator not found, generate timestamp failed", dc)
}

func errForwardedNotLeader(host string) error {
	return status.Errorf(codes.InvalidArgument, "forwarded host %s is not leader", host)
}

func errRelayUnreachable(addr string) error {
	return status.Errorf(codes.Unavailable,
		"connection error: desc = \"transport: Error while dialing: dial tcp %s: connect: connection refused\"", addr)
}

// etcd's, in its words.
var (
	errFutureRevision = status.Error(codes.OutOfRange, "etcdserver: mvcc: required revision is a future revision")
	errCompacted      = status.Error(codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted")
)

// What an etcd serves and this one does not.
var (
	errOneKey       = status.Error(codes.InvalidArgument, "tsotest: serves single keys, not ranges of them")
	errSerializable = status.Error(codes.InvalidArgument, "tsotest: serves serializable reads only")
)

var errNoWatch = errors.New("tsotest: no watches are served without WithWatch")

func errNoMember(i int) error {
	return fmt.Errorf("tsotest: there is no member %d", i)
}

func errNoDC(dc string) error {
	return fmt.Errorf("tsotest: there is no dc-location %q", dc)
}

func errBadDC(dc string) error {
	return fmt.Errorf("tsotest: dc-location %q is taken or reserved", dc)
}
