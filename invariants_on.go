//go:build tsoinvariants

package tso

// poolFutures is off under the tsoinvariants tag: a request serves one call, so
// that every second Wait, however late, is answered with ErrFutureWaited.
const poolFutures = false
