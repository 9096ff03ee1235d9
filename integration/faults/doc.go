// Package faults hurts real PD clusters and measures what clients add to it.
//
// A [Row] is one fault. [Run] puts a steady load on each client, lets the fault
// happen, and watches three things on one clock: when the cluster served, asked
// directly and past every path (the floor), when each client served, and each call.
// The longest that any silence of a client lasted beyond those of the cluster is what
// the client adds; the rest is PD's. Every timestamp goes through the order checker.
//
// Clients run side by side, in the same process and on the same cluster: they see
// the same fault.
//
// A [Crowd] is a fault that many clients suffer. [RunCrowd] measures what it costs PD and
// them, in processes of their own and for one kind of client at a time: what PD spends is
// that kind's doing then.
package faults
