package load

import (
	"runtime"
	"sync/atomic"
	"time"
)

// recorder counts calls, in one shard for every few callers.
//
// It only counts upwards and is never reset. So a reader needs no agreement with
// the writers about when an interval ends, which swapping two histograms would:
// it takes the difference of two readings.
type recorder struct {
	shards []shard
}

// shard is written by some of the callers and read by whoever wants to know.
type shard struct {
	cells  [cellCount]atomic.Int64 // successful calls by latency
	sum    atomic.Int64            // of their latencies, in ns
	errors atomic.Int64            // calls that failed
	last   atomic.Uint64           // a timestamp obtained lately, composed
	_      [64]byte                // two shards share no cache line
}

// shardsPerProcessor makes it rare that two callers add to a shard at once. A
// shard takes 31 KiB; one per caller would be 120 MiB for 4,096 of them, and
// displace from the caches what is measured.
const shardsPerProcessor = 4

func newRecorder(callers int) *recorder {
	return &recorder{shards: make([]shard, min(callers, shardsPerProcessor*runtime.GOMAXPROCS(0)))}
}

// shard returns the shard of a caller.
func (r *recorder) shard(caller int) *shard { return &r.shards[caller%len(r.shards)] }

// succeeded counts n calls that took d each, and got timestamps up to ts.
func (s *shard) succeeded(d time.Duration, n int, ts uint64) {
	s.cells[cellOf(d)].Add(int64(n))
	s.sum.Add(int64(d) * int64(n))
	s.last.Store(ts)
}

// failed counts a call that got an error.
func (s *shard) failed() { s.errors.Add(1) }
