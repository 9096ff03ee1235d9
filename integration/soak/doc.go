// Package soak keeps clients under load on a real PD cluster for as long as wanted,
// while random faults happen to it, and tells whether every promise was kept.
//
// Callers share a few clients, of which one is closed and replaced now and then; they
// call with and without a deadline, take futures in order, and cancel. Options are
// changed under them. The order of all timestamps, over all clients, is checked as they
// come, and each error against what the contract permits: the cluster is asked
// directly, past every path, so that it is known for how long a call could have been
// served. Every few faults the callers pause, and goroutines, connections, descriptors
// and heap are read; they must not grow from one such moment to the next.
//
// The seed decides what happens and in what order, but not the timing of the processes:
// the same seed asks the same questions, and may get other answers.
package soak
