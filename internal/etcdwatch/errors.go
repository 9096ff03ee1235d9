package etcdwatch

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed says that a server has answered what no etcd answers.
	ErrMalformed = errors.New("etcd: malformed answer")
	// ErrAnotherMember says that a connection has come to lead to another member, whose revisions
	// may be behind.
	ErrAnotherMember = errors.New("etcd: another member answers")
	// ErrEnded says that the server has ended a watch without an error.
	ErrEnded = errors.New("etcd: the watch has ended")
	// ErrCompacted says that what a watch was to tell is not kept any more.
	ErrCompacted = errors.New("etcd: the revision has been compacted")
	// ErrKeys says that these keys cannot be watched.
	ErrKeys = errors.New("etcd: keys must be different, and not empty")

	errNotRange = errors.New("etcd: a watch begins with what Range has returned")
)

// CanceledError says that the server has canceled the watch of a key, or refused it. The others of
// the stream end with it.
type CanceledError struct {
	Reason          string // the server's text, or its beginning; may be empty
	CompactRevision int64  // what is kept begins there; 0 if that is not the reason
}

// Error returns the server's reason.
func (e *CanceledError) Error() string {
	if e.CompactRevision != 0 {
		return fmt.Sprintf("%v, up to %d", ErrCompacted, e.CompactRevision)
	}
	return fmt.Sprintf("etcd: the watch has been canceled: %q", e.Reason)
}

// Is makes errors.Is(err, ErrCompacted) true where that is the reason.
func (e *CanceledError) Is(target error) bool {
	return target == ErrCompacted && e.CompactRevision != 0
}
