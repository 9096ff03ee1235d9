// Package pderr classifies the errors of Placement Driver (PD) servers.
//
// PD tells most of its states apart only in words: "not leader", "mismatch cluster id", "server not started" come as
// plain texts, under gRPC codes that changed from one release to the next, and sometimes inside the header of an
// otherwise successful response. This package holds the one table of those texts, for every era of the server, so that
// no other part of the client compares strings. Classify takes what a gRPC call or stream returned, ClassifyHeader what
// a response's header carried; both answer with a Class, which says what to do next.
//
// The package keeps no state: all its functions may be called from any goroutine.
package pderr

// Class says what an error means to a client that wants a timestamp.
type Class int

const (
	// None is the class of no error at all.
	None Class = iota
	// Unknown is an error that the table does not know, such as an Internal of the server or an answer that could
	// not be decoded. It is retried, with back-off: such errors come and go with a server's restart.
	Unknown
	// Retry is trouble that passes by itself or on another connection: transport errors, a stream that ended, a
	// server that starts, stops or has reached a limit.
	Retry
	// NotLeader says that the server does not serve this scope (any more): ask who does.
	NotLeader
	// ClusterMismatch says that the server belongs to another cluster than the request.
	ClusterMismatch
	// CalleeMismatch says that the server is not the process that the request was meant for, as happens when an
	// address is given to another one: dial anew.
	CalleeMismatch
	// Unimplemented says that the server does not know the method: it is older, or no PD.
	Unimplemented
	// Auth says that the caller's credentials are missing, wrong or not sufficient.
	Auth
	// InvalidArgument says that the request itself is wrong, so that no server will ever take it.
	InvalidArgument
)

var classNames = [...]string{
	None:            "none",
	Unknown:         "unknown",
	Retry:           "retry",
	NotLeader:       "not leader",
	ClusterMismatch: "cluster mismatch",
	CalleeMismatch:  "callee mismatch",
	Unimplemented:   "unimplemented",
	Auth:            "auth",
	InvalidArgument: "invalid argument",
}

// String returns the class's name for logs and test failures.
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "invalid class"
	}
	return classNames[c]
}

// Final reports whether the caller gets the error at once, because no later try and no other server will do better.
//
// ClusterMismatch is not final here: one foreign server behind a reused address proves nothing. It becomes final when
// every member that answers says so, which only the owner of the member list can tell.
func (c Class) Final() bool {
	return c == Auth || c == InvalidArgument
}

// Retry reports whether the request is kept and tried again until its own deadline.
func (c Class) Retry() bool {
	return c != None && !c.Final()
}

// RefreshesMembers reports whether the error is a hint that the known member list or leader is out of date.
func (c Class) RefreshesMembers() bool {
	return c == NotLeader || c == ClusterMismatch || c == CalleeMismatch
}
