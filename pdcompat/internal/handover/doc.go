// Package handover decides where a program's timestamps come from that holds a client of
// PD's: from this library's client beside it ("ours"), or from PD's own client inside it
// ("upstream"). It knows no type of upstream's; the adapters, one for each era of those
// types, are thin around it.
//
// Ours serves while PD grants timestamps itself. Where TSO is a service of its own (PD's API
// mode), upstream does, which knows keyspace groups. A Handover sees which it is by the
// leader's GetClusterInfo, asked on ours' connections: every three seconds, and whenever ours
// has opened a stream, since PD changes its mode by ending all of them.
//
// # What a handover keeps
//
// When the side changes, new calls wait; those that ours has are served first, and those that
// upstream has are given to ours instead; then the side that comes has to show a timestamp
// above all that the side that goes has granted. So timestamps go on rising over a handover
// for each goroutine and each pair of calls, and for the futures of a goroutine in the order
// in which it took them. Where ours cannot serve those that it has, that takes a call's budget.
//
// # The path of a call
//
// While ours serves, a call is two atomic loads and one call of an interface. While upstream
// does, a call goes through a queue and two goroutines, give and serve, and costs some 15 us:
// everything else in this package may lock and allocate. Upstream is never called with a lock
// held, since it keeps whoever calls it at times.
package handover
