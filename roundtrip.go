package tso

import "time"

// roundTrip is what is known of the time from the sending of an RPC until its
// answer has been read. It belongs to the receiver, and to one stream.
type roundTrip struct {
	// least is the shortest one since the window began, and before the
	// shortest one of the window before; 0 is none.
	least, before int64
	// began is when the window did.
	began int64
	// late is the longest of late: a longer one counts at once, and is forgotten
	// by and by.
	late int64
}

// rttWindow is for how long a shortest round trip counts, and at most as long
// again. A path that gets longer is noticed after that; a queue on it, or a process
// that is busy for a while, is not mistaken for one.
const rttWindow = 10 * time.Second

// add takes account of an RPC that was answered at now, and returns the shortest
// round trip.
func (r *roundTrip) add(took, now int64) int64 {
	r.late = max(took, r.late-r.late/8)
	switch {
	case now-r.began >= int64(rttWindow):
		r.before, r.least, r.began = r.least, took, now
	case r.least == 0 || took < r.least:
		r.least = took
	}
	if r.before > 0 && r.before < r.least {
		return r.before
	}
	return r.least
}
