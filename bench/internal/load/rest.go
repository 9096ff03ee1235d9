package load

import "time"

// Rest is what a process that does nothing has used nevertheless.
type Rest struct {
	Wall, CPU time.Duration
	// WakeUps is how often a thread of the process had gone to sleep, and so how often
	// one was woken; 0 where the system does not tell.
	WakeUps int64
}

// ReadRest reads what the process has used until now. Unlike ReadUsage it disturbs
// nothing.
func ReadRest() Rest {
	return Rest{Wall: time.Since(processBegan), CPU: cpuTime(), WakeUps: sleeps()}
}

// Sub returns what was used since before.
func (r Rest) Sub(before Rest) Rest {
	return Rest{Wall: r.Wall - before.Wall, CPU: r.CPU - before.CPU, WakeUps: r.WakeUps - before.WakeUps}
}
