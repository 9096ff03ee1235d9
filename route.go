package tso

import "slices"

// route is a way to the member that serves a dc-location.
type route struct {
	// target is the URL of that member.
	target string
	// via is the URL of the member to connect to: the target itself, or another
	// one that forwards.
	via string
}

// forwardedHost is the metadata that tells a member to pass a stream on to another
// one (PD, pkg/utils/grpcutil).
const forwardedHost = "pd-forwarded-host"

func direct(target string) route { return route{target: target, via: target} }

func (r route) isDirect() bool { return r.target == r.via }

// String says where an answer comes from.
func (r route) String() string {
	if r.isDirect() {
		return r.target
	}
	return r.target + " through " + r.via
}

// try is a route to be tried beside the stream that a lane has, or lacks.
type try struct {
	route
	fresh  bool // on a connection of its own
	likely bool // PD is about to elect the target
}

// atOnce returns how many tries of a route may be without an answer before the next one
// waits for hangingPause. A PD that has just become the leader has requests which come
// before its first timestamp is there sleep for 200 ms (getTS in pkg/tso/tso.go), while
// one that comes a moment later is answered at once. A try that takes a connection is
// alone, as that costs a server more, and one that is frozen the most.
func (t try) atOnce() int {
	switch {
	case t.fresh:
		return 1
	case t.likely:
		return 10
	default:
		return 4
	}
}

// freshEvery is how often the member that the list names is tried on a connection of
// its own although nobody doubts the one that there is: trouble seldom comes alone.
const freshEvery = 4

// othersEvery is how often members are asked that PD is not likely to elect.
const othersEvery = 4

// tries returns all ways to somebody who may serve the lane: the member that the list
// names; the others, since lists are late (PD grants timestamps before it names itself
// the leader, and asks etcd for each list), and a member that does not serve says so at
// once; and, with forwarding, the one named through each of the others. There may be
// turns for a few of them only, so each round begins with another one, and where it is
// known whom PD will elect, the other others are asked seldom. conn says that the
// connection to the member named is suspected.
func (l *lane) tries(round int, conn bool) []try {
	target := l.env.target(l.dc)
	var all []try
	if target != "" {
		all = append(all, try{route: direct(target), fresh: conn || round%freshEvery == freshEvery-1})
	}
	candidate := l.candidate()
	if round%othersEvery == othersEvery-1 {
		candidate = ""
	}
	for _, m := range l.env.members() {
		if m == target {
			continue
		}
		if l.env.forwarding && target != "" {
			all = append(all, try{route: route{target: target, via: m}, fresh: true})
		}
		if candidate == "" || candidate == m {
			all = append(all, try{route: direct(m), likely: candidate == m})
		}
	}
	if len(all) == 0 {
		return nil
	}
	first := round % len(all)
	return append(all[first:len(all):len(all)], all[:first]...)
}

// candidate returns the member that PD is about to elect, "" if none is known that would
// be news.
func (l *lane) candidate() string {
	if c := l.env.candidate(); l.dc == globalDC && c != l.env.target(l.dc) {
		return c
	}
	return ""
}

// spread returns the members that requests are to be spread over, nil if they go to
// the leader: with the TSO follower proxy on, all members take requests of the
// global scope, and pass them on.
func (l *lane) spread() []string {
	if l.dc != globalDC || !l.env.proxy.Load() {
		return nil
	}
	all := slices.Compact(slices.Sorted(slices.Values(l.env.members())))
	if len(all) < 2 {
		return nil
	}
	return all
}

// outdated reports whether a leads where the lane should not go any more.
//
// While no member is known to serve the dc-location, as in the list of a PD leader that
// has just been elected, the one before may still do. And one that has proved that it
// serves is believed until the list says something new.
func (l *lane) outdated(a *attempt) bool {
	target := l.env.target(l.dc)
	switch {
	case a.over != nil && l.spread() == nil:
		return true
	case target == "" || a.rescued() && target == a.listed:
		return false
	default:
		return target != a.target
	}
}
