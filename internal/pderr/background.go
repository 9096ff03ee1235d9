package pderr

import (
	"context"
	"errors"
)

// Background is an error that tells why another one happened. It Is and it can be read As what the error is, but for context
// errors: on the way to PD contexts end that are not the caller's, and PD's client says context.Canceled of calls that it has
// given up by itself. Whether the caller's has ended, and how, only the other error says.
type Background struct{ Err error }

// Error returns the text of the error.
func (b Background) Error() string { return b.Err.Error() }

// Is reports whether the error is the target, which no context error is.
func (b Background) Is(target error) bool {
	return target != context.Canceled && target != context.DeadlineExceeded && errors.Is(b.Err, target)
}

// As reads the error as the target.
func (b Background) As(target any) bool { return errors.As(b.Err, target) }
