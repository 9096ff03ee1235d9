package handover

import (
	"context"

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
