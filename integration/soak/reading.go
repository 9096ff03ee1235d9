package soak

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"time"
)

// linkRoutines and linkDescriptors are what one connection costs a path of package
// pdpath, which is in this process.
const linkRoutines, linkDescriptors = 5, 2

// quietReads is how often it is read when it is quiet, and quietStep the time between.
const quietReads, quietStep = 5, 50 * time.Millisecond

// Reading is what the process holds on to. What the paths need is not in it: their
// number of connections also depends on PD.
type Reading struct {
	At          time.Duration
	Goroutines  int
	Connections int // of clients
	Descriptors int
	Heap        uint64
}

// String returns the reading in a line.
func (r Reading) String() string {
	return fmt.Sprintf("%v: %d goroutines, %d connections, %d descriptors, %.1f MiB of heap",
		r.At.Round(time.Second), r.Goroutines, r.Connections, r.Descriptors, float64(r.Heap)/(1<<20))
}

// read returns what there is now; of the heap, what the last collection has left.
func (r *run) read() Reading {
	now := Reading{At: time.Duration(r.clock()), Heap: measured("/gc/heap/live:bytes")}
	var links int
	for _, m := range r.cfg.Cluster.Members() {
		clients, members := m.Path.Links()
		now.Connections += clients
		links += clients + members
	}
	now.Goroutines = runtime.NumGoroutine() - links*linkRoutines
	now.Descriptors = descriptors() - links*linkDescriptors
	return now
}

// readQuiet reads for a while, and returns the least of each: what only lingers is gone
// by then, what is on its way has come.
func (r *run) readQuiet() Reading {
	runtime.GC()
	<-time.NewTimer(r.cfg.pace.quietFor).C
	runtime.GC() // the second time pools let go
	least := r.read()
	for range quietReads {
		<-time.NewTimer(quietStep).C
		least = least.min(r.read())
	}
	return least
}

func (r Reading) min(other Reading) Reading {
	return Reading{
		At:          max(r.At, other.At),
		Goroutines:  min(r.Goroutines, other.Goroutines),
		Connections: min(r.Connections, other.Connections),
		Descriptors: min(r.Descriptors, other.Descriptors),
		Heap:        min(r.Heap, other.Heap),
	}
}

// descriptors returns how many the process has open, the one for looking included.
func descriptors() int {
	names, err := os.ReadDir("/dev/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

// measured returns a figure of the runtime's.
func measured(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
