package tsotest

import "github.com/pingcap/kvproto/pkg/pdpb"

// MoveLeader makes a member the leader. The one before answers what is asked of
// it from now on with ErrNotLeader, which ends its streams one by one, as PD.
func (s *Server) MoveLeader(i int) error {
	return s.change(func(t *topology) error {
		if t.member(i) == nil {
			return errNoMember(i)
		}
		t.leader = i
		return nil
	})
}

// DropLeader leaves the cluster without a leader, as during an election:
// GetMembers names none and every member answers ErrNotLeader.
func (s *Server) DropLeader() {
	_ = s.change(func(t *topology) error {
		t.leader = nobody
		return nil
	})
}

// Leader returns the number of the leader, or -1.
func (s *Server) Leader() int { return s.topology.Load().leader }

// SetServiceMode sets what GetClusterInfo says of who serves timestamps, at first
// pdpb.ServiceMode_PD_SVC_MODE. Nothing else changes: the members go on granting them, as PD
// does in API mode, where it passes requests on to a TSO service.
func (s *Server) SetServiceMode(mode pdpb.ServiceMode) { s.serviceMode.Store(int32(mode)) }

// AddMember starts one more member and returns its number.
func (s *Server) AddMember() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.newMember(len(s.all))
	if err != nil {
		return nobody, err
	}
	s.all = append(s.all, m)
	t := s.topology.Load().clone()
	t.members = append(t.members, m)
	s.publish(t)
	return m.index, nil
}

// RemoveMember stops a member for good and takes it out of the list. What it
// led has no leader then.
func (s *Server) RemoveMember(i int) error {
	var removed *member
	err := s.change(func(t *topology) error {
		if removed = t.member(i); removed == nil {
			return errNoMember(i)
		}
		t.members[i] = nil
		if t.leader == i {
			t.leader = nobody
		}
		for dc, a := range t.dcs {
			if a.lead == i {
				a.lead = nobody
				t.dcs[dc] = a
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.stop(removed)
	return nil
}

// AddDC adds a dc-location, led by a member of the server's choice. Its suffix
// is the next one, or the old one if the dc-location was there before.
func (s *Server) AddDC(dc string) error {
	return s.change(func(t *topology) error { return s.addDC(t, dc) })
}

func (s *Server) addDC(t *topology, dc string) error {
	if _, ok := t.dcs[dc]; ok || dc == "" || dc == globalScope {
		return errBadDC(dc)
	}
	sc, err := s.oracle.local(dc)
	if err != nil {
		return err
	}
	index := int(sc.suffix) - 1
	lead := index % len(t.members)
	for n := 0; n < len(t.members) && t.members[lead] == nil; n++ {
		lead = (lead + 1) % len(t.members)
	}
	t.dcs[dc] = allocator{scope: sc, index: index, lead: lead}
	return nil
}

// RemoveDC removes a dc-location; requests for it fail as for any unknown one.
func (s *Server) RemoveDC(dc string) error {
	return s.change(func(t *topology) error {
		if _, ok := t.dcs[dc]; !ok {
			return errNoDC(dc)
		}
		delete(t.dcs, dc)
		return nil
	})
}

// MoveAllocator makes a member the leader of a dc-location's allocator.
func (s *Server) MoveAllocator(dc string, i int) error {
	return s.change(func(t *topology) error {
		a, ok := t.dcs[dc]
		if !ok {
			return errNoDC(dc)
		}
		if t.member(i) == nil {
			return errNoMember(i)
		}
		a.lead = i
		t.dcs[dc] = a
		return nil
	})
}

// change publishes a changed copy of the topology, unless f returns an error.
func (s *Server) change(f func(*topology) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topology.Load().clone()
	if err := f(t); err != nil {
		return err
	}
	s.publish(t)
	return nil
}

// publish makes t what there is. Who leads what is asked of it first, and told second. mu is held.
func (s *Server) publish(t *topology) {
	s.topology.Store(t)
	if s.conf.watch {
		s.etcd.follow(t)
	}
}

// eachMember applies f to the given members, or to all if none is given; to
// none if one of them does not exist.
func (s *Server) eachMember(which []int, f func(*member)) error {
	t := s.topology.Load()
	if len(which) == 0 {
		for _, m := range t.members {
			if m != nil {
				f(m)
			}
		}
		return nil
	}
	for _, i := range which {
		if t.member(i) == nil {
			return errNoMember(i)
		}
	}
	for _, i := range which {
		f(t.members[i])
	}
	return nil
}
