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
// What may happen to it falls into five groups, all safe at any time, from any
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
//   - What members say of who leads, to who watches the keys of that in PD's
//     etcd, as with WithWatch: HoldWatches and ReleaseWatches, SetWatchBehind,
//     SetWatchDelay, RefuseWatches, EndWatches, CompactWatches.
//   - Single messages: Script decides on every timestamp request, ScriptOpen on
//     every stream, ScriptMembers on every list of members, ScriptWatch on every
//     answer of etcd.
//
// Members are numbered from 0 in the order they were added, and a number is
// never used again.
//
// With WithWatch a change of who leads the cluster, or a dc-location, is a DELETE
// of what was so, and a PUT of what is, of a revision each, in one etcd that the
// members share. Each tells it from what it knows itself: one that was stopped
// knows for 100 ms after its start what it knew before. As on a real PD a watch is
// a hint, and says nothing of whether who is named serves; the server's do, at
// once, where a PD takes some 10 ms.
//
// WithBufconn keeps all of it in memory, and then the server works inside a
// testing/synctest bubble, where an hour of traffic takes as long as its
// requests need. Nothing in this package is global.
package tsotest
