package tso

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/office"
	"github.com/tsoring/tso/internal/pderr"
	"github.com/tsoring/tso/member"
)

// try is a route to be tried beside the stream that a lane has, or lacks.
type try struct {
	route
	fresh  bool // on a connection of its own
	likely bool // PD is about to elect the target, or has, and it is getting ready
	asleep bool // the target may sleep over requests that come too early
	told   bool // a watch has told that PD has elected the target
	// instead is set if the connection of its own, should it lead to a member, is better than
	// the one that there is.
	instead bool
}

// atOnce and asleepAtOnce are how many tries of a route may be without an answer before
// the next ones are made at longer intervals. A try that takes a connection is alone, as
// that costs a server more, and one that is frozen the most.
const (
	atOnce       = 4
	asleepAtOnce = 16
)

// pauseBehind returns how long the next try waits behind so many that have no answer. A PD
// that has just become the leader has requests which come before its first timestamp is
// there sleep for 200 ms (getTS in pkg/tso/tso.go), and with Local TSO also those that come
// before that of an allocator, while one that comes a moment later is answered at once.
func (t try) pauseBehind(others int) time.Duration {
	switch {
	case others == 0, !t.fresh && others < atOnce, t.told && others < toldAtOnce:
		return 0
	case t.asleep && others < asleepAtOnce:
		return rescuePause
	default:
		return hangingPause
	}
}

// kind returns what t has in common with the tries that it waits for: those that a
// sleeping member holds up say nothing about its connection.
func (t try) kind() try { return try{route: t.route, fresh: t.fresh, asleep: t.asleep} }

// freshEvery is how often the member that the list names is tried on a connection of
// its own although nobody doubts the one that there is: trouble seldom comes alone. The
// first time is when it has been named for freshFirst rounds, or one if that is news: lists
// are late, but not by much, so that a connection on which it says that it does not serve may
// lead elsewhere.
const (
	freshEvery = 8
	freshFirst = 2
)

// vainPause returns how long the next new connection to the member that the list names waits
// behind so many that have led to somebody who gives no timestamps, nor says that he is not
// the leader: whoever has got its address has to bear them all.
func vainPause(vain int) time.Duration { return time.Duration(min(vain, 4)) * rescuePause }

// othersEvery is how often any others are asked while one is known that will serve.
const othersEvery = 4

// outlook is what a round of tries goes by.
type outlook struct {
	round int
	// named is for how many rounds the list has named the member that it does, and news is set
	// if it has named another one before in this search.
	named int
	news  bool
	// doubted is the member whose connection is, "" for none.
	doubted string
	// around is set if the stream that is suspected went through another member, and young
	// for aroundAhead.
	around, young bool
	// unready is set if the member that the list names answers, but not that another one
	// serves, and starting if it says that something of its own is not there yet.
	unready, starting bool
	// vain is set if new connections to the member that the list names lead to somebody who
	// gives no timestamps.
	vain bool
	// silent reports whether a member may be sleeping over a question, and dialed whether one
	// that has been asked on a connection of its own has not answered yet.
	silent, dialed func(member string) bool
	// office is what watches say, and quiet is set if there is nobody to ask by that.
	office member.Office
	quiet  bool
}

// tries returns ways to somebody who may serve the lane. There may be turns for a few of
// them only, so each round begins with another one, and none is spent on a connection that
// is known to be down: grpc-go would fail it at once.
func (l *lane) tries(o outlook) []try {
	if o.office.State != office.Unwatched {
		return l.triesOfOffice(o)
	}
	all := slices.Concat(l.triesOfTarget(o), l.triesAround(o), l.triesOfOthers(o))
	if len(all) == 0 {
		return nil
	}
	first := o.round % len(all)
	return append(all[first:len(all):len(all)], all[:first]...)
}

// triesOfTarget returns the ways to the member that the list names.
func (l *lane) triesOfTarget(o outlook) (all []try) {
	target := l.env.target(l.dc)
	if target == "" {
		return nil
	}
	up, doubted := l.env.reachable(target), target == o.doubted
	first := freshFirst
	if o.news {
		first = 1
	}
	fresh := !up || doubted || o.named%freshEvery == first
	if fresh {
		all = append(all, try{route: direct(target), fresh: true, instead: !up || doubted})
	}
	if up && (!fresh || o.unready || o.dialed(target)) {
		all = append(all, try{route: direct(target), asleep: o.unready, likely: o.starting && l.dc == globalDC})
	}
	return all
}

// aroundAhead is how long the members that requests went through may take to answer on the
// connections that there are: a first request through a follower takes PD 15 to 40 ms.
const aroundAhead = 40 * time.Millisecond

// triesAround returns the ways to that member through each of the others, if requests may
// be forwarded and it is not reached directly. They take connections of their own where
// one is doubted, as others may have died with it; but not at first where requests went
// this way already.
func (l *lane) triesAround(o outlook) (all []try) {
	target := l.env.target(l.dc)
	doubted := target == o.doubted
	if !l.forwards() || target == "" || !doubted && !o.around && l.env.reachable(target) {
		return nil
	}
	fresh := doubted && (!o.around || !o.young)
	for _, m := range l.env.members() {
		if m != target {
			all = append(all, try{route: route{target: target, via: m}, fresh: fresh || !l.env.reachable(m)})
		}
	}
	return all
}

// triesOfOthers returns the ways to others, since lists are late (PD grants timestamps
// before it names itself the leader, and asks etcd for each list), and a member that does
// not serve says so at once.
func (l *lane) triesOfOthers(o outlook) (all []try) {
	target, candidate := l.env.target(l.dc), l.candidate()
	if o.vain && o.round%(2*othersEvery) != 0 {
		return nil
	}
	var sleepers, others []string
	for _, m := range l.env.members() {
		switch {
		case m == target || m == candidate || !l.env.reachable(m):
		case o.silent(m):
			sleepers = append(sleepers, m)
		default:
			others = append(others, m)
		}
	}
	if candidate != "" {
		all = append(all, tryCandidate(candidate))
	}
	seldom := candidate != "" || o.unready || len(sleepers) > 0
	for _, m := range append(sleepers, inTurn(o.round, others, l.othersAtOnce(), seldom)...) {
		all = append(all, try{route: direct(m)})
	}
	return all
}

// othersAtOnce is how many of the others a round asks; see dcRate.
func (l *lane) othersAtOnce() int {
	if l.dc == globalDC {
		return 1
	}
	return 2
}

// inTurn returns those of the others that a round asks: all of them in the first one, and
// later n at a time, so that the lane's allowance lasts for an election; that is seldom
// where another one is known that will serve.
func inTurn(round int, others []string, n int, seldom bool) []string {
	if round == 0 || len(others) <= n && !seldom {
		return others
	}
	if seldom {
		if round%othersEvery != 0 {
			return nil
		}
		round /= othersEvery
	}
	asked := make([]string, min(n, len(others)))
	for i := range asked {
		asked[i] = others[(round*n+i)%len(others)]
	}
	return asked
}

// tryCandidate asks the member that PD is about to elect.
func tryCandidate(m string) try { return try{route: direct(m), likely: true, asleep: true} }

// candidate returns the member that PD is about to elect, "" if none is known that would
// be news.
func (l *lane) candidate() string {
	if c := l.env.candidate(); l.dc == globalDC && c != l.env.target(l.dc) {
		return c
	}
	return ""
}

// lastSaid returns what the last failure tells of the member that the list names; see
// outlook.
func (l *lane) lastSaid() (unready, starting bool) {
	err := l.lastCause()
	class := pderr.Classify(err)
	unready = pderr.Answered(err) && class != pderr.NotLeader && !pderr.Misdirected(err)
	return unready, class == pderr.Retry && status.Code(err) == codes.Unknown // PD gives its errors no code
}
