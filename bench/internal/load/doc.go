// Package load puts a client under load and measures it.
//
// A [Run] is a closed loop: each of its callers asks for a timestamp, and asks
// again as soon as it has got one. What it counts is read from outside while it
// goes on, as often as one likes: a measurement is the difference of two
// readings, and a warm-up is what came before the first.
//
// Measuring takes little from what is measured. Each call costs two readings of
// the clock and one atomic addition, to memory that a few callers share; it
// takes no lock and allocates nothing. The order check, where it is asked for,
// costs more: see [Config].
package load
