package tsotest

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
)

const (
	// logicalBits is the width of a timestamp's logical part.
	logicalBits = 18
	maxLogical  = 1 << logicalBits
	// maxSuffixBits is PD's limit on what Local TSO may take of the logical part.
	maxSuffixBits = 4
)

// oracle hands out timestamps for all members and all scopes of one server.
//
// As in PD each scope counts for itself, so two dc-locations may well be at the
// same physical time and the same count, and only their suffixes keep their
// timestamps apart. Global goes above every local timestamp handed out before
// and pushes every dc-location above itself.
//
// Unlike PD, which reads its clock every 50 ms and then sleeps when a
// millisecond is used up, it reads the clock for each request and borrows the
// next millisecond at once: it is never the bottleneck of a benchmark.
//
// Safe for concurrent use. The mutex is held for some additions, never while
// something waits.
type oracle struct {
	clock func() time.Time

	mu     sync.Mutex
	bits   uint32   // guarded by mu; only grows
	global *scope   // immutable pointer, fields guarded by mu
	locals []*scope // guarded by mu; only grows, as PD keeps a suffix once given
}

// scope is the counter of global or of one dc-location. All but its name and
// suffix is guarded by oracle.mu.
type scope struct {
	name   string
	suffix int64

	physical int64 // milliseconds
	count    int64 // logical without suffix: the last one handed out at physical
	largest  uint64
}

// stamps is one answer of the oracle: the last of a run of timestamps.
type stamps struct {
	physical, logical int64
	bits              uint32
}

func newOracle(clock func() time.Time) *oracle {
	return &oracle{clock: clock, global: &scope{name: globalScope}}
}

// next hands out n timestamps of a scope and returns the largest.
func (o *oracle) next(sc *scope, n uint32) (stamps, error) {
	if n == 0 {
		return stamps{}, errGenerate("tso count should be positive")
	}
	now := o.clock().UnixMilli()
	o.mu.Lock()
	defer o.mu.Unlock()
	if int64(n)<<o.bits+sc.suffix >= maxLogical {
		return stamps{}, errGenerate("generate tso maximum number of retries exceeded")
	}
	if sc == o.global {
		for _, local := range o.locals {
			sc.raise(local)
		}
	}
	logical := sc.advance(now, int64(n), o.bits)
	if sc == o.global {
		for _, local := range o.locals {
			local.raise(sc)
		}
	}
	return stamps{sc.physical, logical, o.bits}, nil
}

// advance moves the scope n counts on, into a later millisecond if the clock
// says so or the current one has no room left.
func (sc *scope) advance(now, n int64, bits uint32) (logical int64) {
	if now > sc.physical {
		sc.physical, sc.count = now, 0
	}
	if (sc.count+n)<<bits+sc.suffix >= maxLogical {
		sc.physical, sc.count = sc.physical+1, 0
	}
	sc.count += n
	logical = sc.count<<bits + sc.suffix
	sc.largest = uint64(sc.physical)<<logicalBits | uint64(logical)
	return logical
}

// raise lifts the scope to where another one stands.
func (sc *scope) raise(to *scope) {
	if to.physical > sc.physical || to.physical == sc.physical && to.count > sc.count {
		sc.physical, sc.count = to.physical, to.count
	}
}

// local returns the scope of a dc-location, which it makes if there is none. A
// name that comes back finds its old suffix and its old position.
func (o *oracle) local(name string) (*scope, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, sc := range o.locals {
		if sc.name == name {
			return sc, nil
		}
	}
	suffix := int64(len(o.locals)) + 1
	need := uint32(bits.Len64(uint64(suffix)))
	if need > maxSuffixBits {
		return nil, fmt.Errorf("tsotest: no suffix left for dc-location %q: PD has %d", name, 1<<maxSuffixBits-1)
	}
	sc := &scope{name: name, suffix: suffix}
	sc.raise(o.global)
	o.locals = append(o.locals, sc)
	if need > o.bits {
		o.widen(need)
	}
	return sc, nil
}

// widen changes the number of suffix bits. It starts a new millisecond
// everywhere: a logical part under the old shift may equal one under the new.
func (o *oracle) widen(bits uint32) {
	o.bits = bits
	top := o.global.physical
	for _, sc := range o.locals {
		top = max(top, sc.physical)
	}
	if top == 0 {
		return // nothing has been handed out
	}
	o.global.physical, o.global.count = top+1, 0
	for _, sc := range o.locals {
		sc.physical, sc.count = top+1, 0
	}
}

// largest returns the largest timestamp handed out in each scope.
func (o *oracle) largest() map[string]uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]uint64{globalScope: o.global.largest}
	for _, sc := range o.locals {
		all[sc.name] = sc.largest
	}
	return all
}
