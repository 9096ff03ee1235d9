//go:build !linux

package delay

import "time"

// Sharp does nothing where Sleep is all there is.
func Sharp() {}

// Sleep sleeps, as precisely as Go's timers are.
func Sleep(d time.Duration) { <-time.NewTimer(d).C }
