package tsotest

import "time"

// A WatchEvent is what happened to a key, or in the answer to a Range what the key holds.
type WatchEvent struct {
	Key      string
	Value    []byte // a pdpb.Member; shared by all who are told, so replace it and do not write into it
	Deleted  bool
	Revision int64 // of the change
}

// A WatchAnswer is one answer to a Range, or of a stream of watches, as ScriptWatch sees it. Of a
// stream, one without events, Created and Canceled is the answer to a request for progress.
type WatchAnswer struct {
	Range bool // to a Range

	ClusterID uint64 // etcd's, which is not PD's
	MemberID  uint64
	Revision  int64
	Term      uint64

	Events []WatchEvent // for a Range one, or none if there is no such key

	WatchID         int64 // from 1 in each stream; -1 for progress
	Created         bool
	Canceled        bool
	CompactRevision int64
	Reason          string

	// Raw is sent in place of the answer's encoding, unless it is nil.
	Raw []byte
	// Drop swallows the answer, and the stream goes on. It means nothing for a Range.
	Drop bool
}

// ScriptWatch has f see every answer to a Range and of a watch before the given member sends it;
// nil ends that. f may change the answer in any way: the member lies. An error is sent in its
// place, and ends a stream of watches. f is called in order within a stream and concurrently over
// streams and Ranges. It may use every method of the Server but Close, and StopMember or
// RemoveMember of the same member, which wait for it.
func (s *Server) ScriptWatch(f func(member int, answer *WatchAnswer) error) {
	if f == nil {
		s.watchScript.Store(nil)
		return
	}
	s.watchScript.Store(&f)
}

// HoldWatches has the given members, or all of them if none is given, say nothing to watches and
// Ranges, while they do all else. Requests are taken, and answered after ReleaseWatches, first of
// all; then comes what was missed, in order. Hold does the same to all that a member serves.
func (s *Server) HoldWatches(members ...int) error {
	return s.eachView(members, func(v *view) { v.held = true })
}

// ReleaseWatches ends HoldWatches.
func (s *Server) ReleaseWatches(members ...int) error {
	return s.eachView(members, func(v *view) { v.held = false })
}

// SetWatchBehind cuts the given members, or all of them if none is given, off from the others:
// they answer Ranges and requests for progress as of now, with the revision and the term of now,
// and their watches are silent. With behind false they learn, and tell in order, what they have
// missed. It concerns watches only: timestamps are granted, and passed on, as before.
func (s *Server) SetWatchBehind(behind bool, members ...int) error {
	return s.eachView(members, func(v *view) { v.setCut(s.etcd, behind) })
}

// SetWatchDelay has the given members, or all of them if none is given, tell each event d after it
// happened, or after its watch began, whichever is later; 0 ends that. Ranges are answered at once.
// So is a request for progress, unless an event of its stream is still to be told: then it is never
// answered, as by etcd. The way is made longer by SetLatency, which delays whatever a member sends.
func (s *Server) SetWatchDelay(d time.Duration, members ...int) error {
	return s.eachView(members, func(v *view) { v.delay = d })
}

// RefuseWatches has the given members, or all of them if none is given, answer Ranges and new
// streams of watches with err, for instance codes.Unimplemented, as a proxy does that lets only
// PD's calls through; nil ends that. Streams that there are go on.
func (s *Server) RefuseWatches(err error, members ...int) error {
	return s.eachView(members, func(v *view) { v.refusal = err })
}

// EndWatches ends the streams of watches that the given members, or all of them if none is given,
// serve now, as a server does that has no more to say. New ones are served.
func (s *Server) EndWatches(members ...int) error {
	return s.eachView(members, func(v *view) { v.ended++ })
}

// CompactWatches forgets what was before the revision of now: a watch that is to begin there is
// begun, and then canceled, by members that are not behind. Watches that there are go on.
func (s *Server) CompactWatches() error {
	if !s.conf.watch {
		return errNoWatch
	}
	s.etcd.mu.Lock()
	defer s.etcd.mu.Unlock()
	s.etcd.head.compacted = s.etcd.head.revision
	return nil
}

// eachView applies f to the given members' views of etcd as eachMember does, and has all streams
// look.
func (s *Server) eachView(which []int, f func(*view)) error {
	if !s.conf.watch {
		return errNoWatch
	}
	s.etcd.mu.Lock()
	defer s.etcd.mu.Unlock()
	defer s.etcd.wake()
	return s.eachMember(which, func(m *member) { f(&m.view) })
}
