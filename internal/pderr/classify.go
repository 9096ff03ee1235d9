package pderr

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxText is how much of an error's text is searched. PD's texts are short and start with what matters; a hostile
// server may send megabytes.
const maxText = 4 << 10

// texts maps fragments of PD's error texts, in lower case, to their class. The first that occurs decides, so the more
// specific stand first: "mismatch cluster id" before anything with a leader in it.
var texts = [...]struct {
	fragment string
	class    Class
}{
	// PD of every version; the second is the TSO microservice.
	{"mismatch cluster id", ClusterMismatch},
	{"cluster mismatched", ClusterMismatch},
	// TSO microservice: the address was given to another process.
	{"mismatch callee id", CalleeMismatch},

	// "requested pd is not leader of cluster", "not leader", "requested not leader anymore", "redirect to not leader".
	{"not leader", NotLeader},
	// v5: "not the pd leader anymore", "not the pd or local tso allocator leader anymore". Missed by the client of
	// its own era, which then kept asking a member that had lost its lease.
	{"leader anymore", NotLeader},
	// The server has no leader, or etcd below it.
	{"no leader", NotLeader},
	{"leader is not elected", NotLeader},
	{"leader is nil", NotLeader},
	{"mismatch leader id", NotLeader},
	// Local TSO: "dc-1 allocator not found, generate timestamp failed": this member has no such scope (yet).
	{"allocator not found", NotLeader},
	// TSO microservice: the keyspace group lives elsewhere, or this is a secondary.
	{"is not served", NotLeader},
	{"not primary", NotLeader},

	// "server not started", "server is started, but etcd not started".
	{"not started", Retry},
	// "timestamp in memory isn't initialized", "has not been initialized", "has been reset".
	{"isn't initialized", Retry},
	{"not been initialized", Retry},
	{"timestamp in memory has been reset", Retry},
	{"maximum number of retries exceeded", Retry},
	{"not found tso address", Retry},
	{"proxy tso timeout", Retry},
	{"max count of concurrent tso proxy routines exceeded", Retry},
	// gRPC reports some ends of a connection as Internal or Unknown.
	{"rst_stream", Retry},
	{"goaway", Retry},
	{"without sending trailers", Retry},
	{"connection reset by peer", Retry},
	{"broken pipe", Retry},
	{"transport is closing", Retry},

	// A request that asks for nothing; the client never sends one.
	{"tso count should be positive", InvalidArgument},
}

// Classify returns the class of an error that a gRPC call or stream returned. It looks through wrapped errors, and
// accepts any error, nil included.
//
// The text decides before the code, since a code such as InvalidArgument may just wrap a "not leader" of the member
// that a request was forwarded to. Only a refusal of the caller's credentials is read from the code first: whatever
// its text says, nothing of ours will mend it.
//
// An error that is context.Canceled or context.DeadlineExceeded is of the class Retry, like a stream that we cancelled
// ourselves. Whether the caller's own context is done is for the caller to check, before it classifies.
func Classify(err error) Class {
	if err == nil {
		return None
	}
	st, isStatus := statusOf(err)
	if isStatus {
		switch st.Code() {
		case codes.OK:
			return None
		case codes.Unauthenticated, codes.PermissionDenied:
			return Auth
		default:
		}
	}
	if class := classifyText(textOf(err, st)); class != Unknown {
		return class
	}
	if isStatus && st.Code() != codes.Unknown {
		return classifyCode(st.Code())
	}
	return classifyPlain(err)
}

// Unreachable reports whether a gRPC call or stream ended because there is no connection, or none any more.
func Unreachable(err error) bool {
	st, isStatus := statusOf(err)
	return isStatus && st.Code() == codes.Unavailable
}

// FromPeer reports whether a gRPC call or stream was ended by the server or the transport, with or without an error.
func FromPeer(err error) bool {
	_, isStatus := statusOf(err)
	return isStatus || errors.Is(err, io.EOF)
}

// Answered reports whether a gRPC call or stream ended with an error of the server's, other than that it has too much
// to do.
func Answered(err error) bool {
	st, isStatus := statusOf(err)
	if !isStatus {
		return false
	}
	switch st.Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded:
		return false
	default:
		return true
	}
}

// ClassifyHeader returns the class of the error in a response's header. A header without an error, also one that is
// present but says OK and nothing else, is of the class None.
func ClassifyHeader(e *pdpb.Error) Class {
	if e == nil || (e.GetType() == pdpb.ErrorType_OK && e.GetMessage() == "") {
		return None
	}
	if class := classifyText(e.GetMessage()); class != Unknown {
		return class
	}
	if e.GetType() == pdpb.ErrorType_NOT_BOOTSTRAPPED {
		return Retry
	}
	return Unknown
}

// statusOf returns the gRPC status inside err. status.FromError is not used because it invents one for any error.
func statusOf(err error) (*status.Status, bool) {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return nil, false
	}
	st := carrier.GRPCStatus()
	return st, st != nil
}

// textOf prefers the server's own words to what was wrapped around them, which may name several causes.
func textOf(err error, st *status.Status) string {
	if st != nil {
		return st.Message()
	}
	return err.Error()
}

func classifyText(text string) Class {
	if len(text) > maxText {
		text = text[:maxText]
	}
	text = strings.ToLower(text)
	for _, t := range texts {
		if strings.Contains(text, t.fragment) {
			return t.class
		}
	}
	return Unknown
}

func classifyCode(code codes.Code) Class {
	switch code {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return Retry
	case codes.InvalidArgument:
		return InvalidArgument
	case codes.Unimplemented:
		return Unimplemented
	default:
		return Unknown
	}
}

// classifyPlain handles errors that carry no code: those of the standard library, from sockets and contexts.
func classifyPlain(err error) Class {
	for _, known := range transportErrors {
		if errors.Is(err, known) {
			return Retry
		}
	}
	// net.Error, without importing net for one interface: anything that can say whether it timed out came from I/O.
	var network interface {
		error
		Timeout() bool
	}
	if errors.As(err, &network) || errors.Is(err, context.Canceled) {
		return Retry
	}
	return Unknown
}
