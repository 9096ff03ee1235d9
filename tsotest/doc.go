// Package tsotest is a timestamp oracle for tests: PD's wire protocol in
// process, as net/http/httptest is HTTP in process. It starts in well under a
// millisecond, serves as fast as grpc-go does, and shows on demand what a real
// PD shows once a month: a leader that moves, a member that freezes, an answer
// that makes no sense.
//
// A server has one or more members and one oracle shared by all of them, so
// its timestamps stay unique and increasing whatever is done to the members.
// Start returns it with an error, New is the same within a test:
//
//	s := tsotest.New(t, tsotest.WithMembers(3))
//	client, err := tso.NewClient(s.URLs(), tso.SecurityOption{})
//
// What may happen to it falls into four groups, all safe at any time, from any
// goroutine, and most useful while clients are at work:
//
//   - The cluster: MoveLeader, DropLeader, AddMember, RemoveMember, AddDC,
//     RemoveDC, MoveAllocator. Nothing moves by itself: a stopped leader stays
//     the leader until the test elects another.
//   - The process of a member: StopMember and StartMember (killed and started
//     again), Hold and Release (frozen and thawed), SetLatency, SetServing,
//     CloseStreams.
//   - The path between clients and a member, which other members do not use
//     when they forward: CutPath and HealPath (bytes held), SilenceConns (only
//     the connections of now go dead), ResetConns.
//   - Single messages: Script decides on every timestamp request, ScriptOpen on
//     every stream, ScriptMembers on every list of members.
//
// Members are numbered from 0 in the order they were added, and a number is
// never used again.
//
// WithBufconn keeps all of it in memory, and then the server works inside a
// testing/synctest bubble, where an hour of traffic takes as long as its
// requests need. Nothing in this package is global.
package tsotest
