//go:build !tsoinvariants

package tso

// poolFutures lets a request serve the next call once its Wait has returned.
const poolFutures = true
