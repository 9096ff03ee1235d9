// Package history decides whether a history of timestamp calls keeps what the
// oracle promises. It is the only such checker: unit tests, simulations, tests
// against a real PD, demos and soaks all use it, so that a pass means the same
// thing everywhere.
//
// What is checked:
//
//   - order: if call A returned before call B was called, T(A) < T(B). Calls
//     that overlap may be answered in either order.
//   - uniqueness: no timestamp is handed out twice, in any scope.
//   - creation order: futures taken one after another by one goroutine hold
//     increasing timestamps.
//
// There are two ways to check. [Check] looks at a complete history, collected
// by a [Recorder], and is exact; its memory grows with the history (32 bytes a
// call while recording, some four times that while checking). [Online] checks
// each call when it ends in bounded memory, for runs that last for hours.
//
// Both err on the side of silence: a call is seen to begin a little early and to
// end a little late, so that two calls may look concurrent that were not, never
// the other way round. A violation that is reported happened.
package history
