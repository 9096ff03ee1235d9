//go:build race

package tso

const raceEnabled = true
