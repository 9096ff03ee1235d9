package faults

import "time"

// All returns every row, as `make faults` runs them. Local TSO comes last: its
// allocators take a minute to be where their dc-locations are.
func All() []Row {
	forwarding := Options{Forwarding: true}
	keepalive := Options{Keepalive: true}
	both := Options{Forwarding: true, Keepalive: true}
	proxy := Options{FollowerProxy: true}
	const path, dropping, processes = 10 * time.Second, 3 * time.Second, 10 * time.Second
	return []Row{
		NoFault(path),
		NoFault(path).With("follower proxy", proxy),
		Relayed(path),
		LeaderTransferred(),
		LeaderResigned(),
		LeaderTerminated(),
		LeaderKilled(),
		LeaderFrozen(processes),
		AllRestarted(),
		AllReaddressed(),
		PathHeld(path, Options{}),
		PathHeld(path, forwarding).With("forwarding", forwarding),
		PathHeld(2*path, keepalive).With("keepalive 10/3 s", keepalive),
		PathHeld(2*path, both).With("forwarding, keepalive 10/3 s", both),
		ConnectionDead(),
		ConnectionDead().With("keepalive 10/3 s", keepalive),
		PathRefused(path, Options{}),
		PathRefused(path, forwarding).With("forwarding", forwarding),
		PathDropped(dropping, Options{}),
		PathDropped(dropping, forwarding).With("forwarding", forwarding),
		EverythingReset(),
		LeaderTransferred().With("follower proxy", proxy),
		LeaderKilled().With("follower proxy", proxy),
		LeaderKilled().On(Default),
		LeaderFrozen(2 * processes).On(Default),
		OtherAllocatorKilled(),
		LeaderKilled().On(Local),
	}
}
