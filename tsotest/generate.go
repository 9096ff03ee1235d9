package tsotest

// generate is what PD does with a request: checks, then timestamps.
func (st *stream) generate() (stamps, error) {
	s := st.server
	if !st.target.running.Load() {
		return stamps{}, errRelayUnreachable(st.target.addr)
	}
	if got := st.header.ClusterId; got != s.conf.clusterID {
		return stamps{}, ErrMismatchedCluster(s.conf.clusterID, got)
	}
	sc, lead, ok := s.topology.Load().scopeOf(s.oracle, st.req.DcLocation)
	if !ok {
		return stamps{}, errUnknownDC(st.req.DcLocation)
	}
	if lead != st.target.index {
		if st.host != "" && st.n == 1 {
			return stamps{}, errForwardedNotLeader(st.host)
		}
		return stamps{}, ErrNotLeader(st.req.DcLocation)
	}
	last, err := s.oracle.next(sc, st.req.Count)
	if err == nil {
		st.member.timestamps.Add(uint64(st.req.Count))
	}
	return last, err
}
