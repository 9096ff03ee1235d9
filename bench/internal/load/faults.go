package load

import (
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
)

// Fault is a kind of error.
type Fault struct {
	Kind  string
	Count int64
	Last  error // the latest one
}

// faults counts errors by kind. It has a lock, which is no burden: a caller that
// has met an error pauses.
type faults struct {
	mu   sync.Mutex
	seen map[string]*Fault // guarded by mu
}

func (f *faults) add(err error) {
	kind := kindOf(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = make(map[string]*Fault)
	}
	if f.seen[kind] == nil {
		f.seen[kind] = &Fault{Kind: kind}
	}
	f.seen[kind].Count++
	f.seen[kind].Last = err
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Fault
	for _, fault := range f.seen {
		all = append(all, *fault)
	}
	slices.SortFunc(all, func(a, b Fault) int { return int(b.Count - a.Count) })
	return all
}

// kinds are tried in this order: an error may be several of them, and the first
// is what somebody should know.
var kinds = []struct {
	err  error
	name string
}{
	{tso.ErrTimestampFallback, "timestamp fallback"},
	{tso.ErrBadResponse, "bad response"},
	{tso.ErrUnknownDCLocation, "unknown dc-location"},
	{tso.ErrClusterMismatch, "cluster mismatch"},
	{tso.ErrBudgetSpent, "budget spent"},
	{tso.ErrClosed, "closed"},
	{context.DeadlineExceeded, "deadline exceeded"},
	{context.Canceled, "canceled"},
}

// kindOf names the kind of an error. There are few, however many errors.
func kindOf(err error) string {
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	if code := status.Code(err); code != codes.Unknown {
		return "gRPC " + code.String()
	}
	return "other"
}

// creationFaults collects futures whose timestamp is not above that of the future
// created before them by the same goroutine.
type creationFaults struct {
	mu    sync.Mutex
	total int64               // guarded by mu
	first []history.Violation // guarded by mu
}

// creationKept is how many are kept in full: the first ones say it all.
const creationKept = 8

func (f *creationFaults) add(before, after uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.first) < creationKept {
		f.first = append(f.first, history.CreationOrder([]uint64{before, after})...)
	}
	f.total++
}

func (f *creationFaults) list() ([]history.Violation, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.first), f.total
}
