package history

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says which promise a violation breaks.
type Kind int

const (
	// KindOrder is a call that began after another had returned, and yet got a
	// timestamp that is not above the other's.
	KindOrder Kind = iota + 1
	// KindDuplicate is a timestamp that two calls got.
	KindDuplicate
	// KindCreation is a future that holds a timestamp not above that of the
	// future created before it by the same goroutine.
	KindCreation
	// KindMalformed is a call that ended before it started: the recording is
	// wrong, and nothing can be concluded from it.
	KindMalformed
)

// String returns the promise in a word or two.
func (k Kind) String() string {
	switch k {
	case KindOrder:
		return "order"
	case KindDuplicate:
		return "duplicate"
	case KindCreation:
		return "creation order"
	case KindMalformed:
		return "malformed call"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Violation is one broken promise and the two calls that show it.
type Violation struct {
	Kind Kind
	// First is the call that should have the smaller timestamp. An [Online]
	// checker knows only its T; for [CreationOrder] Start and End are the
	// positions of the two futures.
	First Call
	// Second is the call at fault. It equals First if the kind is
	// KindMalformed.
	Second Call
}

// String says what is wrong and by how much, in the terms of the kind.
func (v Violation) String() string {
	switch v.Kind {
	case KindOrder:
		return fmt.Sprintf("order: {%v} is not above {%v}: %s, T behind by %d",
			v.Second, v.First, v.gap(), v.First.T-v.Second.T)
	case KindDuplicate:
		return fmt.Sprintf("duplicate: {%v} and {%v}", v.First, v.Second)
	case KindCreation:
		return fmt.Sprintf("creation order: future %d has T %d, future %d before it has T %d",
			v.Second.Start, v.Second.T, v.First.Start, v.First.T)
	case KindMalformed:
		return fmt.Sprintf("malformed call: {%v} ends before it starts", v.Second)
	}
	return fmt.Sprintf("%v: {%v}, {%v}", v.Kind, v.First, v.Second)
}

// gap tells how long the first call had been over when the second began.
func (v Violation) gap() string {
	if v.First.End == 0 && v.Second.Start == 0 {
		return "the other had ended (seen online, times unknown)"
	}
	return fmt.Sprintf("the other had ended %d ns before", v.Second.Start-v.First.End)
}

// errShown bounds the message of Err: a broken run has thousands of violations,
// and the first few say it all.
const errShown = 8

// Err returns nil if there are no violations, and otherwise an error with their
// number and the first few.
func Err(violations []Violation) error {
	if len(violations) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "history: %d violations", len(violations))
	for _, v := range violations[:min(errShown, len(violations))] {
		b.WriteString("\n\t")
		b.WriteString(v.String())
	}
	if len(violations) > errShown {
		b.WriteString("\n\t...")
	}
	return errors.New(b.String())
}
