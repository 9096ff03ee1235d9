package soak

import "time"

// look finds callers that should be back and are not, and returns how long the call
// that has been under way for longest has taken so far.
func (r *run) look() (longest time.Duration) {
	now := r.clock()
	for _, c := range r.callers {
		since, until, h := c.since.Load(), c.until.Load(), c.on.Load()
		if since == 0 || h == nil {
			continue
		}
		longest = max(longest, time.Duration(now-since))
		if at := h.closing.Load(); at != 0 {
			until = min(until, max(at, since))
		}
		late := time.Duration(now - until)
		// What was read belongs together only if the same call is still under way.
		if late > slack && c.since.Load() == since && c.told.Swap(since) != since {
			r.ledger.find("late call", "a call to %s that began %v ago is %v late", h.name, time.Duration(now-since), late)
		}
	}
	return longest
}
