// Package pdcluster runs clusters of real PD processes on the loopback
// interface, for tests, benchmarks and demos.
//
//	cluster := pdcluster.StartT(t, pdcluster.Config{Members: 3, Fast: true})
//	client := connect(cluster.ClientURLs())
//	cluster.Resign(ctx)
//
// [Start] returns when every member answers and every timestamp that the
// cluster was configured for can be had. Members take the faults that processes
// take: they can be killed, terminated, frozen and restarted.
//
// A cluster may be in [APIMode], in which timestamps come from TSO services beside PD,
// which take the same faults. [Cluster.SetMode] changes its mode.
//
// Nothing is left behind. [Cluster.Close] kills the processes and removes the
// folder; a parent that dies without calling it takes the processes along on
// Linux. The server binary is built on first use and stays in the repository's
// .bin folder.
//
// The package needs the process signals of Unix.
package pdcluster
