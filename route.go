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

// forwards reports whether the lane's requests may go to its member through others. A member
// puts what it passes on of all dc-locations into one RPC, for that of the first request
// (processRequests in pkg/utils/tsoutil/tso_dispatcher.go), so that whoever asked for another
// one would get timestamps of the wrong scope.
func (l *lane) forwards() bool { return l.env.forwarding && l.dc == globalDC }

// goesAround reports whether the lane's requests go to its member through another one, since
// that cannot be reached from here.
func (l *lane) goesAround() bool {
	a := l.dialed.Load()
	return a != nil && !a.isDirect()
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
