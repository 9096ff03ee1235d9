// Package office keeps what watches say of who holds an office of PD's: the leader's, or that of a
// dc-location's allocator.
//
// A watch is a hint. It is late where its member is, and without a quorum nothing happens that it
// could tell: it goes on naming who led before. So what it names can be refuted, by what the holder
// itself says, or does not say any more, and is believed again by the next news or the next
// timestamp. Whoever asks for timestamps does by the state: who is named is asked at once; while
// there is nobody nobody is asked; one who is refuted is asked at a falling pace, since that may
// pass without any news.
//
//	          Told                    Refute
//	Unwatched ----> Named <---------- Refuted
//	                | ^    Told, Serves
//	         Vacant v | Told
//	               Nobody <- Vacant from everywhere
package office

// State is what is known of an office.
type State uint8

// The states.
const (
	Unwatched State = iota // no watch tells anything
	Named                  // a holder has been named
	Nobody                 // it is vacant
	Refuted                // whoever was named last does not serve, and there has been no news since
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Named:
		return "named"
	case Nobody:
		return "nobody"
	case Refuted:
		return "refuted"
	default:
		return "unwatched"
	}
}

// Office is what is known of one office. Any number of watches may tell it: the revisions of what
// they tell have one order, so that one that is behind does no harm. The zero value is unwatched.
// One goroutine at a time. Methods report whether the state or the holder has changed, or the
// holder been named anew.
type Office struct {
	state    State
	holder   string
	revision int64 // of the latest news
}

// State returns what is known.
func (o *Office) State() State { return o.state }

// Holder returns who was named last, which is who has to be asked in the states Named and Refuted; ""
// in the others.
func (o *Office) Holder() string { return o.holder }

// Told takes in that the office's key was given to a holder at a revision, as an event or as what
// Range has found.
func (o *Office) Told(holder string, revision int64) bool {
	return o.news(Named, holder, revision)
}

// Vacant takes in that the key was deleted at a revision, or that there was none at that of a Range.
func (o *Office) Vacant(revision int64) bool {
	was := o.state
	return o.news(Nobody, "", revision) && was != Nobody
}

// news takes in what is later than all that is known. A second watch tells the same once more, and
// does not lift a refutation by that.
func (o *Office) news(state State, holder string, revision int64) bool {
	if revision <= o.revision {
		return false
	}
	*o = Office{state: state, holder: holder, revision: revision}
	return true
}

// Refute takes in that somebody who was asked has said that he does not serve, or cannot be
// reached. It is about nobody else than the holder.
func (o *Office) Refute(who string) bool {
	if o.state != Named || who != o.holder {
		return false
	}
	o.state = Refuted
	return true
}

// Serves takes in a timestamp of somebody's. If that is not the holder the watches are late, and the
// holder is refuted.
func (o *Office) Serves(who string) bool {
	if who != o.holder {
		return o.Refute(o.holder)
	}
	if o.state != Refuted {
		return false
	}
	o.state = Named
	return true
}

// Unwatch takes in that the last watch has ended. The next one is believed whatever its revisions
// are: it may be a cluster that was restored.
func (o *Office) Unwatch() bool {
	was := o.state
	*o = Office{}
	return was != Unwatched
}
