package history

// Order says which scopes are ordered against which. Inside a scope the order
// always holds, and uniqueness always spans all scopes.
type Order int

const (
	// Contract is what a caller is promised: the global scope is ordered against
	// every local one, in both directions; two local scopes are not ordered
	// against each other.
	Contract Order = iota
	// PerScope orders no scope against another: the histories of several
	// clusters, or of servers that never exchange timestamps.
	PerScope
	// OneDomain orders all scopes as if they were one.
	OneDomain
)

// floors holds, for a sweep through a history, the call with the largest
// timestamp among those that have ended: in each scope and in all of them.
type floors struct {
	order Order
	all   *Call
	scope map[Scope]*Call
}

func newFloors(order Order) *floors {
	return &floors{order: order, scope: make(map[Scope]*Call)}
}

// raise notes that c has ended.
func (f *floors) raise(c *Call) {
	f.all = larger(f.all, c)
	f.scope[c.Scope] = larger(f.scope[c.Scope], c)
}

// below returns the call that a call of scope s that begins now must exceed, or
// nil if there is none.
func (f *floors) below(s Scope) *Call {
	switch {
	case f.order == OneDomain, f.order == Contract && s == Global:
		return f.all
	case f.order == PerScope:
		return f.scope[s]
	default:
		return larger(f.scope[s], f.scope[Global])
	}
}

// larger returns the call with the larger timestamp, the first one in a tie.
func larger(a, b *Call) *Call {
	if a == nil || b != nil && b.T > a.T {
		return b
	}
	return a
}
