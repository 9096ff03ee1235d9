// Package inline holds the list of functions on the path of a call that the
// compiler must inline, and the test that asks the compiler. It has no code.
package inline
