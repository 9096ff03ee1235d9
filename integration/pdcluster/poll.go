package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollInterval is how often everything in this package that has to be waited
// for is looked at. A look costs a PD less than a millisecond.
const pollInterval = 20 * time.Millisecond

// permanentError is an error that trying again cannot help.
type permanentError struct{ error }

// poll calls try until it returns nil or a permanent error, or ctx is done. In
// the latter case the error tells both why poll ended and why the last try
// failed.
func poll(ctx context.Context, try func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if errors.As(err, new(permanentError)) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, last: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
