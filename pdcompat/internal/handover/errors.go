package handover

import (
	"context"
	"errors"

	"github.com/tsoring/tso"
)

// errClosed is what calls return after Close. Upstream says context.Canceled then, which
// programs look for with errors.Cause of github.com/pingcap/errors (TiCDC does), and it is
// tso.ErrClosed to those that know this library. It is no context error to errors.Is, which
// would say that the caller's context has ended.
type errClosed struct{}

func (errClosed) Error() string        { return tso.ErrClosed.Error() }
func (errClosed) Is(target error) bool { return target == tso.ErrClosed }

// Cause makes github.com/pingcap/errors and github.com/pkg/errors find context.Canceled.
func (errClosed) Cause() error { return context.Canceled }

// background is an error that tells why another one happened. It Is what the error is, but
// for context errors: upstream says context.Canceled of calls that it has given up by
// itself, and whether the caller's context has ended, only the other error says.
type background struct{ err error }

func (b background) Error() string { return b.err.Error() }

func (b background) Is(target error) bool {
	return target != context.Canceled && target != context.DeadlineExceeded && errors.Is(b.err, target)
}

func (b background) As(target any) bool { return errors.As(b.err, target) }
