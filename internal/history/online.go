package history

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// onlineKept is how many violations an Online checker keeps in full; it counts
// the rest.
const onlineKept = 64

// Online checks calls while they happen, in memory that does not grow with
// their number. Any number of goroutines may use it.
//
//	floor := o.Begin()
//	t := ... // the call
//	o.End(floor, t)
//
// What it catches: every call whose timestamp is not above the largest one of
// the calls whose End had returned before its Begin; and every duplicate, as
// long as the first holder is still in the window (see [NewOnline]).
//
// What it cannot catch: a wrong order between two calls of which the second
// began after the first had returned but before the first's End had run; an
// inversion of futures, for which there is [CreationOrder]; a duplicate that
// comes when its window has passed. The last is not silent: such a timestamp is
// counted by Unchecked. With no violation and nothing unchecked, no timestamp
// was seen twice.
//
// An Online must not be copied after first use.
type Online struct {
	global *OnlineScope
	order  Order
	seen   *window
	all    atomic.Uint64 // the largest T of any scope that has ended

	calls     atomic.Uint64
	unchecked atomic.Uint64
	faults    atomic.Uint64

	mu     sync.Mutex
	scopes map[Scope]*OnlineScope // guarded by mu
	kept   []Violation            // guarded by mu; the first onlineKept
}

// OnlineScope is the view of an [Online] checker on one scope. Its Begin and End
// take no part in a map or its lock; look it up once and keep it.
type OnlineScope struct {
	online *Online
	scope  Scope
	max    atomic.Uint64 // the largest T of the scope that has ended
}

// NewOnline returns a checker for one cluster that needs about mib MiB, and
// at least one.
//
// The memory is the window in which duplicates are found. It keeps the newest
// timestamps, by their value and not by when they came, in pages of 65,536
// neighbours. With the 8 MiB that 0 stands for these are 1,024 pages: 51 s of a
// PD that moves its physical clock every 50 ms and serves less than 1.3 million
// timestamps a second, 12 s at the 5.2 million that are its limit, 1 s if each
// millisecond is used.
func NewOnline(order Order, mib int) *Online {
	if mib <= 0 {
		mib = 8
	}
	o := &Online{order: order, seen: newWindow(mib << 20), scopes: make(map[Scope]*OnlineScope)}
	o.global = o.Scope(Global)
	return o
}

// Scope returns the view on scope s, the same one each time.
func (o *Online) Scope(s Scope) *OnlineScope {
	o.mu.Lock()
	defer o.mu.Unlock()
	view := o.scopes[s]
	if view == nil {
		view = &OnlineScope{online: o, scope: s}
		o.scopes[s] = view
	}
	return view
}

// Begin returns the floor for a call of the global scope that begins now.
func (o *Online) Begin() uint64 { return o.global.Begin() }

// End notes that a call of the global scope that began at floor has returned t.
// See [OnlineScope.End].
func (o *Online) End(floor, t uint64) bool { return o.global.End(floor, t) }

// Begin returns the floor for a call that begins now: the largest timestamp
// that it has to exceed.
func (s *OnlineScope) Begin() uint64 {
	switch {
	case s.online.order == OneDomain, s.online.order == Contract && s.scope == Global:
		return s.online.all.Load()
	case s.online.order == PerScope || s == s.online.global:
		return s.max.Load()
	default:
		return max(s.max.Load(), s.online.global.max.Load())
	}
}

// End notes that a call that began at floor has returned t. It tells whether t
// was above the floor and not a duplicate; if not, the violation is recorded
// too. Do not call it for a call that failed.
func (s *OnlineScope) End(floor, t uint64) bool {
	o, ok := s.online, true
	o.calls.Add(1)
	if t <= floor {
		ok = false
		o.fault(Violation{KindOrder, Call{T: floor, Scope: s.scope}, Call{T: t, Scope: s.scope}})
	}
	switch o.seen.add(t) {
	case seenBefore:
		ok = false
		o.fault(Violation{KindDuplicate, Call{T: t, Scope: s.scope}, Call{T: t, Scope: s.scope}})
	case outside:
		o.unchecked.Add(1)
	case firstSeen:
	}
	raise(&o.all, t)
	raise(&s.max, t)
	return ok
}

// raise sets m to t unless it is larger already.
func raise(m *atomic.Uint64, t uint64) {
	for {
		old := m.Load()
		if t <= old || m.CompareAndSwap(old, t) {
			return
		}
	}
}

func (o *Online) fault(v Violation) {
	o.faults.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept) < onlineKept {
		o.kept = append(o.kept, v)
	}
}

// Calls returns the number of calls that have ended.
func (o *Online) Calls() uint64 { return o.calls.Load() }

// Faults returns the number of violations, kept or not.
func (o *Online) Faults() uint64 { return o.faults.Load() }

// Unchecked returns the number of timestamps that were too old for the window
// when they came, and so could not be checked for duplicates. Their order was
// checked.
func (o *Online) Unchecked() uint64 { return o.unchecked.Load() }

// Violations returns a copy of the first violations. An order violation names
// the floor and the scope of the call at fault; the floor may stem from another
// scope.
func (o *Online) Violations() []Violation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Violation(nil), o.kept...)
}

// Err returns nil if there was no violation, and otherwise an error with their
// number and the first few. Timestamps that went unchecked are no error.
func (o *Online) Err() error {
	faults := o.Faults()
	if faults == 0 {
		return nil
	}
	return fmt.Errorf("history: %d violations in %d calls: %w",
		faults, o.Calls(), Err(o.Violations()))
}
