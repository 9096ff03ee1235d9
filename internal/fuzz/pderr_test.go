package fuzz

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/pderr"
)

// FuzzClassify feeds arbitrary codes and texts to the classification of PD's errors. Whatever a server sends, the answer
// is one of the classes, the same every time, and does not depend on how the error was wrapped.
func FuzzClassify(f *testing.F) {
	for _, text := range []string{
		"", "not leader", "requested not leader anymore", "mismatch cluster id, need 1 but got 2", "mismatch callee id",
		"server not started", "not primary", "is not served", "tso count should be positive", "\xff\xfe", "NOT LEADER",
	} {
		for code := range uint32(18) {
			f.Add(code, text)
		}
	}
	f.Fuzz(func(t *testing.T, code uint32, text string) {
		err := status.Error(codes.Code(code), text)
		class := pderr.Classify(err)
		checkClass(t, class, err == nil)
		if err != nil {
			for _, same := range []error{err, fmt.Errorf("stream: %w", err), errors.Join(err)} {
				if again := pderr.Classify(same); again != class {
					t.Fatalf("%v: once %v, once %v", same, class, again)
				}
			}
		}
		checkClass(t, pderr.Classify(errors.New(text)), false)
		checkClass(t, pderr.ClassifyHeader(&pdpb.Error{Type: pdpb.ErrorType(code), Message: text}), code == 0 && text == "")
	})
}

func checkClass(t *testing.T, class pderr.Class, none bool) {
	if (class == pderr.None) != none {
		t.Fatalf("class %v, but there is an error: %v", class, !none)
	}
	if class.String() == "invalid class" {
		t.Fatalf("class %d does not exist", class)
	}
	if class != pderr.None && class.Final() == class.Retry() {
		t.Fatalf("class %v is both final and retried, or neither", class)
	}
}
