package member

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tsoring/tso/internal/pderr"
)

// The errors of this package, to be told apart with errors.Is. What is returned wraps one of them and says more.
var (
	// ErrInvalidAddress means that a given address cannot be one of a PD member. The text says what to change.
	ErrInvalidAddress = errors.New("invalid PD address")
	// ErrSecurity means that the certificates given, or none, cannot be used: they are invalid themselves (the text names
	// the file), or no member accepts them or shows one that they accept.
	ErrSecurity = errors.New("invalid TLS configuration")
	// ErrClusterMismatch means that the addresses belong to different clusters, or that all of them belong to another
	// cluster than the one this client was made for, but for those that have said nothing for long.
	ErrClusterMismatch = errors.New("PD cluster mismatch")
	// ErrNoLeader means that members answered but none of them knows a leader, as during an election.
	ErrNoLeader = errors.New("PD cluster has no leader")
	// ErrUnavailable means that no address gave a usable answer.
	ErrUnavailable = errors.New("no PD member gave a usable answer")
	// ErrClosed means that Close has been called.
	ErrClosed = errors.New("PD client is closed")
)

// roundError tells why a round of questions brought no member list: its kind, and the last word of each address.
type roundError struct {
	kind   error
	hint   string
	causes []error
}

func (e *roundError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s", e.kind, e.hint)
	for i, cause := range e.causes {
		sep := "; "
		if i == 0 {
			sep = " ("
		}
		b.WriteString(sep)
		b.WriteString(cause.Error())
	}
	if len(e.causes) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}

// Unwrap makes the kind and every cause visible to errors.Is and errors.As.
func (e *roundError) Unwrap() []error {
	return append([]error{e.kind}, e.causes...)
}

// unavailableHint says what to look at when no address gave a usable answer.
func unavailableHint(causes []error) string {
	for _, cause := range causes {
		if !errors.Is(cause, ErrSecurity) {
			return "check that the addresses are client URLs of PD and can be reached from here"
		}
	}
	return "none can be spoken to with this SecurityOption"
}

// hopeless reports whether asking again is of no use: the addresses belong to different clusters, or every one of them
// refused for good, the caller's credentials or TLS.
func hopeless(err error) bool {
	if errors.Is(err, ErrClusterMismatch) {
		return true
	}
	var round *roundError
	if !errors.As(err, &round) || len(round.causes) == 0 {
		return false
	}
	for _, cause := range round.causes {
		if !pderr.Classify(cause).Final() && !errors.Is(cause, ErrSecurity) {
			return false
		}
	}
	return true
}
