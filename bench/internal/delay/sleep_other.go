//go:build !linux

package delay

import "time"

// Sleep sleeps, as precisely as Go's timers are.
func Sleep(d time.Duration) { <-time.NewTimer(d).C }
