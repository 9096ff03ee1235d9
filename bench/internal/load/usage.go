package load

import (
	"runtime"
	"time"
)

// Usage is what the whole process has used since it began, or, after Sub, in
// between two readings.
type Usage struct {
	Wall time.Duration
	// CPU is user and system time; 0 where the system does not tell.
	CPU time.Duration
	// Mallocs and Bytes count allocations on the heap, GCs its collections.
	Mallocs, Bytes, GCs uint64
}

var processBegan = time.Now()

// ReadUsage reads the usage until now. It stops the process for some
// microseconds.
func ReadUsage() Usage {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return Usage{
		Wall:    time.Since(processBegan),
		CPU:     cpuTime(),
		Mallocs: mem.Mallocs,
		Bytes:   mem.TotalAlloc,
		GCs:     uint64(mem.NumGC),
	}
}

// Sub returns what was used since before.
func (u Usage) Sub(before Usage) Usage {
	return Usage{
		Wall:    u.Wall - before.Wall,
		CPU:     u.CPU - before.CPU,
		Mallocs: u.Mallocs - before.Mallocs,
		Bytes:   u.Bytes - before.Bytes,
		GCs:     u.GCs - before.GCs,
	}
}
