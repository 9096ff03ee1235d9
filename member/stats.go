package member

import "sync/atomic"

// Stats counts what a Members has done since New.
type Stats struct {
	GetMembers uint64 // Calls of GetMembers sent to members.
	Refreshes  uint64 // Rounds after the first snapshot, each asking all addresses.
	Failures   uint64 // Rounds that brought no usable answer.
	Changes    uint64 // Snapshots published after the first.
	Strangers  uint64 // Answers refused because they came from another cluster.
	Watches    uint64 // Watches of the leader's key that have begun.
	Told       uint64 // What they have told: a leader, or that there is none.
	Conns      int    // Connections held now.
}

// counters are written by the loop and its questions, a few times a second at most, and read by Stats.
type counters struct {
	getMembers, refreshes, failures, changes, strangers, watches, told atomic.Uint64
}

// Stats returns the counters. It never blocks, takes no lock and allocates nothing; they are read one after another, not at one moment.
func (m *Members) Stats() Stats {
	return Stats{
		GetMembers: m.counters.getMembers.Load(),
		Refreshes:  m.counters.refreshes.Load(),
		Failures:   m.counters.failures.Load(),
		Changes:    m.counters.changes.Load(),
		Strangers:  m.counters.strangers.Load(),
		Watches:    m.counters.watches.Load(),
		Told:       m.counters.told.Load(),
		Conns:      int(m.conns.held.Load()),
	}
}
