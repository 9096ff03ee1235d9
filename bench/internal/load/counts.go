package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Counts is a reading of what a Run has done since it began, or, after Sub, in
// between two readings.
type Counts struct {
	// Calls is the number of timestamps obtained, and Errors the number of
	// calls that failed.
	Calls, Errors int64
	// Last is one of the latest timestamps, composed; 0 if there is none.
	Last uint64

	cells  [cellCount]int64
	sum    int64
	merged *hdrhistogram.Histogram // made once, filled by histogram
}

// read sets c to what has been counted until now. Calls that end meanwhile may
// or may not be counted. It allocates nothing, so that reading does not show in
// what is measured.
func (r *recorder) read(c *Counts) {
	*c = Counts{merged: c.merged}
	for i := range r.shards {
		s := &r.shards[i]
		for cell := range s.cells {
			n := s.cells[cell].Load()
			c.cells[cell] += n
			c.Calls += n
		}
		c.sum += s.sum.Load()
		c.Errors += s.errors.Load()
		c.Last = max(c.Last, s.last.Load())
	}
}

// Sub takes an earlier reading away, which leaves what came after it.
func (c *Counts) Sub(before *Counts) { c.Diff(c, before) }

// Diff sets c to what came after the reading before, until the reading after.
func (c *Counts) Diff(after, before *Counts) {
	c.Calls = after.Calls - before.Calls
	c.Errors = after.Errors - before.Errors
	c.Last = after.Last
	c.sum = after.sum - before.sum
	for cell := range c.cells {
		c.cells[cell] = after.cells[cell] - before.cells[cell]
	}
}

// Latency are the latencies of successful calls.
type Latency struct {
	Mean, P50, P90, P99, P999, Max time.Duration
}

// Latency returns the latencies of the calls counted in c, known to 0.8 %, and
// never below what they were. It is zero if there were none.
func (c *Counts) Latency() Latency {
	if c.Calls == 0 {
		return Latency{}
	}
	h := c.histogram()
	at := func(quantile float64) time.Duration { return time.Duration(h.ValueAtQuantile(quantile)) }
	return Latency{
		Mean: time.Duration(c.sum / c.Calls),
		P50:  at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: time.Duration(h.Max()),
	}
}

// histogram merges the cells into a histogram, which can be asked for any
// quantile. It is the same one each time: 230 KiB.
func (c *Counts) histogram() *hdrhistogram.Histogram {
	const digits = 3
	if c.merged == nil {
		c.merged = hdrhistogram.New(1, int64(cellTop(cellCount-1)), digits)
	}
	c.merged.Reset()
	for cell, n := range c.cells {
		if n > 0 {
			// It cannot fail: the histogram was made for the longest latency.
			_ = c.merged.RecordValues(int64(cellTop(cell)), n)
		}
	}
	return c.merged
}
