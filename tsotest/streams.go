package tsotest

import "io"

// attach makes the stream known to a member, so that it can be ended from outside.
func (m *member) attach(st *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams[st] = struct{}{}
}

func (m *member) detach(st *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, st)
}

// endStreams ends all streams that came in at a member or are relayed to it.
func (m *member) endStreams(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for st := range m.streams {
		select {
		case st.kill <- err:
		default: // already told to end
		}
	}
}

// CloseStreams ends all timestamp streams of a member, those relayed to it
// included, as a server does that has no more to say: clients see io.EOF.
// Answers still waiting are lost.
func (s *Server) CloseStreams(i int) error {
	return s.eachMember([]int{i}, func(m *member) { m.endStreams(io.EOF) })
}
