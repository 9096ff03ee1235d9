package tsotest

// Stats are counts since Start.
type Stats struct {
	Requests   uint64 // timestamp requests read
	Timestamps uint64 // timestamps made
	Streams    uint64 // timestamp streams opened
	GetMembers uint64 // calls of GetMembers
	Conns      uint64 // connections accepted
	Ranges     uint64 // calls of Range
	Watches    uint64 // streams of watches opened
	Progress   uint64 // requests for progress, on those streams

	// Largest is the largest timestamp made in each scope, "global" or a
	// dc-location, as physical<<18 | logical; 0 before the first.
	Largest map[string]uint64
	// Members is one entry for each member there ever was, by number.
	Members []MemberStats
}

// MemberStats are the counts of one member since it was added. What it relays
// to another is counted here, where it came in.
type MemberStats struct {
	Requests    uint64
	Timestamps  uint64
	Streams     uint64
	OpenStreams int // now
	GetMembers  uint64
	Conns       uint64
	OpenConns   int // now
	Ranges      uint64
	Watches     uint64
	OpenWatches int // now
	Progress    uint64
}

// Stats returns the counts of now. Those of different fields are not read at
// one instant.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	members := s.all
	s.mu.Unlock()
	st := Stats{Largest: s.oracle.largest(), Members: make([]MemberStats, len(members))}
	for i, m := range members {
		ms := m.stats()
		st.Requests += ms.Requests
		st.Timestamps += ms.Timestamps
		st.Streams += ms.Streams
		st.GetMembers += ms.GetMembers
		st.Conns += ms.Conns
		st.Ranges += ms.Ranges
		st.Watches += ms.Watches
		st.Progress += ms.Progress
		st.Members[i] = ms
	}
	return st
}

func (m *member) stats() MemberStats {
	ms := MemberStats{
		Requests:    m.requests.Load(),
		Timestamps:  m.timestamps.Load(),
		Streams:     m.opened.Load(),
		GetMembers:  m.getMembers.Load(),
		Conns:       m.path.accepted.Load(),
		OpenConns:   len(m.path.snapshot()),
		Ranges:      m.ranges.Load(),
		Watches:     m.watches.Load(),
		OpenWatches: int(m.openWatches.Load()),
		Progress:    m.progress.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for st := range m.streams {
		if st.member == m {
			ms.OpenStreams++
		}
	}
	return ms
}
