package tso

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tsoring/tso/internal/pderr"
)

// endedError is that of a call whose context has ended while something was wrong on the
// way to PD, or had been ended for a reason that the context's error does not tell. Where
// there is nothing to tell, a call returns the context's error as it is.
type endedError struct {
	err   error // the context's
	dc    string
	why   error // the cause that the context was ended with, nil if it is err
	cause error // the last thing that went wrong, nil if nothing is known to have
}

// errDoneEarly is the error of a context, of a type of the user's own, that is done and
// says that it is not.
var errDoneEarly = fmt.Errorf("%w: the context's Done is closed while its Err is nil", context.Canceled)

// contextEnded returns the error of a call whose context is done; cause is what keeps
// timestamps from coming, nil if nothing is known to.
func contextEnded(ctx context.Context, dc string, cause error) error {
	err, why := ctx.Err(), context.Cause(ctx)
	if err == nil {
		err = errDoneEarly
	}
	if why == nil || errors.Is(err, why) {
		why = nil
	}
	if why == nil && cause == nil {
		return err
	}
	return &endedError{err: err, dc: dc, why: why, cause: cause}
}

// ended returns the error of a call of the lane whose context is done.
func (l *lane) ended(ctx context.Context) error { return contextEnded(ctx, l.dc, l.trouble()) }

// trouble returns what keeps calls from coming to their end, nil if nothing is known to.
func (l *lane) trouble() error {
	if cause := l.lastCause(); cause != nil {
		return cause
	}
	if s := l.suspicion.Load(); s != nil && s.route.target != "" {
		return silence{s}
	}
	if queued := l.ring.Len(); queued >= l.ring.Cap() {
		return backlog(queued)
	}
	return nil
}

// silence and backlog are trouble that has no error of its own. Their texts are made when
// they are read: 45,000 calls may end at once.
type (
	silence struct{ *suspicion }
	backlog int // calls queued
)

func (s silence) Error() string {
	return fmt.Sprintf("no answer from %v for longer than usual", s.route)
}
func (b backlog) Error() string { return fmt.Sprintf("%d calls are queued already", int(b)) }

func (e *endedError) Error() string {
	var b strings.Builder
	b.WriteString(e.err.Error())
	if e.why != nil {
		fmt.Fprintf(&b, " (%v)", e.why)
	}
	if e.cause != nil {
		fmt.Fprintf(&b, ": no timestamp for dc-location %q; the last failure was: %v", e.dc, e.cause)
	}
	return b.String()
}

// Unwrap returns the context's error, and then what else the error tells.
func (e *endedError) Unwrap() []error {
	errs := []error{e.err}
	if e.why != nil {
		errs = append(errs, pderr.Background{Err: e.why})
	}
	if e.cause != nil {
		errs = append(errs, pderr.Background{Err: e.cause})
	}
	return errs
}

// Timeout and Temporary say what the context's error does, as a net.Error.
func (e *endedError) Timeout() bool   { return errors.Is(e.err, context.DeadlineExceeded) }
func (e *endedError) Temporary() bool { return e.Timeout() }
