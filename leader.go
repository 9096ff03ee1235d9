package tso

import (
	"slices"
	"time"

	"github.com/tsoring/tso/internal/office"
	"github.com/tsoring/tso/internal/pderr"
	"github.com/tsoring/tso/member"
)

// PD's members tell, where they can be watched, who has been elected leader, and that there is
// none. Then a search asks nobody else: see member.Office. While nothing can be relied on, and for
// dc-locations, it goes by lists, as ever.

// officeWatch is what a client's members know by watch of who leads; *member.Members is one.
type officeWatch interface {
	Office() member.Office
	Trouble()
	Calm(serves string)
	Refute(url string)
}

const (
	// toldAhead is how long after a member has been named the leader it is first asked. PD is
	// ready to serve 5 to 25 ms after that is written. Who asks before has, in PD of 2024, his
	// stream sleep for 200 ms (getTS in pkg/tso/tso.go): of those that were asked by nobody
	// sooner, 6 of 6 answered 10 ms after at once.
	toldAhead = 8 * time.Millisecond
	// toldPause is the least pause between questions to it, each of which has a stream of its own,
	// toldShare the pause as a share of the time since it was named, and toldMost the longest. It
	// is asked 4 times in the first 40 ms and 8 times in 0.2 s, and is found so much later than
	// it serves. All clients ask at the same time, when PD has most to do: with a share of 0.2,
	// 200 of them kept it from serving for 0.4 s.
	toldPause = 7 * time.Millisecond
	toldShare = 0.5
	toldMost  = 300 * time.Millisecond
	// toldAtOnce is how many of them may be without an answer before the next ones wait longer.
	toldAtOnce = 6
	// toldStale is how long all questions to it may be without an answer before a new
	// connection is tried: PD sleeps for 200 ms over those that come too early.
	toldStale = 225 * time.Millisecond

	// refutedShare is the pause between questions to a member that says that it does not serve, as a
	// share of the time for which it has said so.
	refutedShare = 0.04

	// proofPatience is how long a search waits at its beginning for a watch to show that it is
	// alive, which takes a round trip.
	proofPatience = 20 * time.Millisecond

	// listPause is the pause between lists of members where a watch tells who leads: they say
	// what it may have missed.
	listPause = time.Second
)

// office returns what watches say of who serves the lane's dc-location.
func (l *lane) office() member.Office {
	if l.dc != globalDC {
		return member.Office{}
	}
	return l.env.watch.Office()
}

// officeChanged is called when watches say something else of the leader's office.
func (c *client) officeChanged() {
	<-c.built
	c.global.officeChanged()
}

// officeChanged has the lane see whether another member serves it now than it goes to. Any
// goroutine may call it.
func (l *lane) officeChanged() {
	if s := l.suspicion.Load(); s != nil {
		s.hear()
		return
	}
	if len(l.proved) > 0 {
		return // another stream is about to be taken
	}
	o, a := l.office(), l.dialed.Load()
	if o.State == office.Named && a != nil && a.target != "" && a.target != o.Holder {
		l.suspect(false)
	}
}

// refresh asks for a list of members: once a second at most where a watch tells who leads, and not
// at all where it tells that nobody does, which is all that members know then. (Members are asked
// again without that, some seconds after.) Any goroutine may call it.
func (l *lane) refresh() {
	now, last := l.env.now(), l.listed.Load()
	if last != 0 && now-last < int64(l.listPause()) {
		return
	}
	l.listed.Store(now)
	l.env.refresh()
}

// listPause returns how long not to ask for another list.
func (l *lane) listPause() time.Duration {
	switch l.office().State {
	case office.Unwatched:
		return 0
	case office.Nobody:
		return forever
	default:
		return listPause
	}
}

// refute takes in what a member has said to the lane, if it is that it does not lead.
func (l *lane) refute(r route, err error) {
	if l.dc == globalDC && r.isDirect() && pderr.Classify(err) == pderr.NotLeader {
		l.env.watch.Refute(r.target)
	}
}

// followOffice takes in what watches say.
func (r *search) followOffice() {
	o := r.lane.office()
	if o.State == office.Refuted && r.office.State != office.Refuted {
		r.refuted = time.Now()
	}
	r.office = o
	if r.told() && r.astray() {
		r.lane.listed.Store(0)
	}
}

// awaitProof waits a moment for a watch to show that it is alive, if one has been asked: then there
// is nobody else to ask. It does not where a connection is in doubt, as a new one is tried anyway.
func (r *search) awaitProof() {
	late := time.NewTimer(proofPatience)
	defer late.Stop()
	for r.suspicion.doubts() == "" && r.lane.office().Awaited {
		select {
		case <-r.suspicion.news:
		case <-late.C:
			return
		case <-r.suspicion.ctx.Done():
			return
		}
	}
}

// told reports whether a watch has named somebody who has to be asked: another one than the
// stream went to, or the same once more.
func (r *search) told() bool {
	return r.office.State == office.Named &&
		(r.office.Holder != r.suspicion.route.target || r.office.Told.After(r.start))
}

// quiet reports whether there is nobody to ask but him who has been told, since no list says
// otherwise.
func (r *search) quiet() bool {
	return r.since == 0 && (r.office.State == office.Nobody || r.told() && !r.astray())
}

// astray reports whether who has been named cannot be reached but through others, for which a list
// has to name him.
func (r *search) astray() bool {
	return r.lane.forwards() && !r.lane.env.reachable(r.office.Holder)
}

// unreached reports whether watches name a leader while the connection to whom lists name is down.
func (r *search) unreached() bool {
	return r.office.State == office.Named && !r.lane.env.reachable(r.target)
}

// pause returns how long a round of tries lasts. Watches and lists end it.
func (r *search) pause() time.Duration {
	switch {
	case r.quiet():
		return jittered(listPause)
	case r.office.State == office.Refuted && r.lane.env.reachable(r.office.Holder):
		return jittered(fading(r.refuted))
	case r.unreached():
		return jittered(fading(r.start))
	default:
		return r.lane.roundPause()
	}
}

// nextQuestion returns after how long somebody who is expected to serve is asked, for the first
// time in a round or again.
func (r *search) nextQuestion(first bool) time.Duration {
	switch {
	case r.told() && first:
		return max(toldAhead-time.Since(r.office.Told), 0)
	case r.told():
		since := r.start
		if r.office.Told.After(since) {
			since = r.office.Told
		}
		return jittered(min(max(toldPause, part(toldShare, time.Since(since))), toldMost))
	case r.since == 0 && (r.office.State == office.Nobody || r.office.State == office.Refuted):
		return forever
	case r.unreached():
		return forever // it is asked when it is connected to
	default:
		return jittered(r.lane.electionPause())
	}
}

// fading returns how long a round lasts where tries have been in vain since then.
func fading(since time.Time) time.Duration {
	return min(max(rescuePause, part(refutedShare, time.Since(since))), listPause)
}

// triesOfOffice returns ways to the lane's member where watches say who leads: nobody else is asked
// but who has been named, by lists or by them.
func (l *lane) triesOfOffice(o outlook) []try {
	if o.quiet {
		return nil
	}
	tries := slices.Concat(l.triesOfTarget(o), l.triesAround(o))
	if holder := o.office.Holder; holder != "" && holder != l.env.target(l.dc) {
		tries = append(tries, l.tryTold(holder))
	}
	return tries
}

// askTold asks the member that a watch has named, and on a new connection where the one that there
// is may be dead.
func (r *search) askTold() {
	holder := r.office.Holder
	r.begin(r.lane.tryTold(holder))
	if holder == r.suspicion.doubts() || r.stale(holder, toldStale) {
		r.begin(try{route: direct(holder), fresh: true, instead: true})
	}
}

// tryTold asks a member that a watch has named.
func (l *lane) tryTold(holder string) try {
	if l.env.reachable(holder) {
		return try{route: direct(holder), likely: true, asleep: true, told: true}
	}
	return try{route: direct(holder), fresh: true, instead: true}
}
