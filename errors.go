package tso

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tsoring/tso/internal/pderr"
	"github.com/tsoring/tso/member"
)

// Errors that calls return, to be told apart with errors.Is. They match context.Canceled
// or context.DeadlineExceeded only when the caller's context has ended, and ErrBudgetSpent
// matches the latter. Where something was wrong on the way to PD when a context ended, the
// error tells it, and Is that as well; otherwise it is the context's own.
var (
	// ErrClosed says that the client has been closed, or that the context it
	// was created with has ended.
	ErrClosed = errors.New("tso: the client is closed")

	// ErrBudgetSpent says that a call has ended because its request budget
	// (WithRequestBudget) was spent before a timestamp came. The error wraps
	// the last thing that went wrong on the way to PD, and Is
	// context.DeadlineExceeded as well.
	ErrBudgetSpent = errors.New("tso: the request budget is spent")

	// ErrUnknownDCLocation says that PD, asked again and again, knows no TSO allocator
	// for the dc-location, or knows it no longer. PD's lists lack one while it moves
	// and while PD elects a leader, so that it takes 4 s to say so, and 15 s where the
	// client has been served before.
	ErrUnknownDCLocation = errors.New("tso: unknown dc-location")

	// ErrBadResponse says that PD answered with something that cannot be a
	// grant of timestamps, several times in a row. None of it has been handed
	// out.
	ErrBadResponse = errors.New("tso: bad response from PD")

	// ErrTimestampFallback says that PD granted timestamps that are not above
	// those it had granted before, and went on doing so. None of them has
	// been handed out.
	ErrTimestampFallback = errors.New("tso: timestamp fallback")

	// ErrInvalidArgument says that a call was made with something that cannot
	// work.
	ErrInvalidArgument = errors.New("tso: invalid argument")

	// ErrInvalidOption says that an option has a value out of its range or of
	// a wrong type.
	ErrInvalidOption = errors.New("tso: invalid option")

	// ErrFutureWaited says that Wait has been called before on this future.
	ErrFutureWaited = errors.New("tso: Wait was called twice on a future")
)

// Errors of discovery, shared with package member.
var (
	// ErrNoLeader says that no member could name a leader that serves.
	ErrNoLeader = member.ErrNoLeader

	// ErrUnavailable says that no member gave a usable answer.
	ErrUnavailable = member.ErrUnavailable

	// ErrClusterMismatch says that addresses belong to different clusters, or
	// to another cluster than the client was created for.
	ErrClusterMismatch = member.ErrClusterMismatch

	// ErrInvalidAddress says that an address of PD could not be read.
	ErrInvalidAddress = member.ErrInvalidAddress

	// ErrSecurity says that a SecurityOption could not be used: it is wrong in itself,
	// or nobody can be spoken to with it, or an address asks for TLS and it is empty.
	ErrSecurity = member.ErrSecurity
)

// budgetError is ErrBudgetSpent with the lane and the last cause. One value
// serves all requests that end together.
type budgetError struct {
	dc    string
	cause error // may be nil
}

func (e *budgetError) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("%v: no answer for dc-location %q; is PD overloaded, or unreachable from here?", ErrBudgetSpent, e.dc)
	}
	return fmt.Sprintf("%v: no timestamp for dc-location %q; the last failure was: %v", ErrBudgetSpent, e.dc, e.cause)
}

// Is makes the error match ErrBudgetSpent and, as net's timeouts do,
// context.DeadlineExceeded.
func (e *budgetError) Is(target error) bool {
	return target == ErrBudgetSpent || target == context.DeadlineExceeded
}

// Unwrap returns the last cause.
func (e *budgetError) Unwrap() error {
	if e.cause == nil {
		return nil
	}
	return pderr.Background{Err: e.cause}
}

// Timeout and Temporary report true, as net.Error's do for timeouts.
func (e *budgetError) Timeout() bool   { return true }
func (e *budgetError) Temporary() bool { return true }

// errNilContext is returned by calls without a context.
var errNilContext = fmt.Errorf("%w: the context is nil; pass that of your caller, or context.Background(), "+
	"with which a call ends after the request budget (WithRequestBudget)", ErrInvalidArgument)

// badResponse makes an error of an answer of the member at url that no PD should give.
func badResponse(url string, err error) error {
	return fmt.Errorf("%w: %s: %w; see whether a PD is there (\"curl %s/pd/api/v1/version\"), or something else "+
		"that the address leads to, and what its log says", ErrBadResponse, url, err, url)
}

// strayed is what a member of another cluster has said, told as the reason why a timestamp
// did not come. One address that leads elsewhere is no mismatch of clusters, and programs are
// known to end themselves where an error has PD's words for that (client-go), so it has
// others. The words are left as they are where every address says them.
type strayed struct{ err error }

func (s strayed) Error() string {
	return strings.ReplaceAll(s.err.Error(), "mismatch cluster id", "a member of another cluster")
}

func (s strayed) Unwrap() error { return s.err }
