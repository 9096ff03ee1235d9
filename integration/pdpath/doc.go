// Package pdpath lies between clients and PD members, and breaks when told to.
//
//	path, err := pdpath.New("127.0.0.1:2379")
//	client := connect(path.Address())
//	path.Hold() // a black hole
//	path.Heal()
//
// A cluster of package pdcluster puts one [Path] in front of each member, behind
// what the member advertises. PD itself goes through there too: a member's own
// etcd client dials what the member advertises, and a follower that forwards dials
// the leader's URL that its client has named. Were they cut off as well, a fault of
// the path would depose the leader, and forwarding around it could not be tested.
// So a path tells connections by who has made them: those of its own process are
// the clients', which faults are for; all others are members', which pass whatever
// the state of the path.
//
// What cannot be imitated without the rights of root: a connection of a client is
// accepted by the kernel wherever one of a member is. Where connecting would hang, it gets
// no answer; where it would be refused, it is reset at once, as by a balancer with nobody
// behind it. [Path.Shut] has it refused indeed, and [Path.Drop] unanswered, and members' new
// ones too. And what a black hole keeps is acknowledged, so that TCP_USER_TIMEOUT does not
// help.
package pdpath
