package load

import "github.com/tsoring/tso/bench/internal/impl"

// Reading is everything that is known of a Run at one time, or, after Sub, of
// the time in between two readings.
type Reading struct {
	Counts
	Usage
	Stats impl.Stats
}

// Measure sets m to all there is to know. The parts are read one after another,
// within a millisecond. It allocates nothing.
func (r *Run) Measure(m *Reading) {
	m.Stats = r.cfg.Client.Stats()
	r.recorder.read(&m.Counts)
	m.Usage = ReadUsage()
}

// Sub takes an earlier reading away, which leaves what came after it.
func (m *Reading) Sub(before *Reading) {
	m.Counts.Sub(&before.Counts)
	m.Usage = m.Usage.Sub(before.Usage)
	m.Stats = m.Stats.Sub(before.Stats)
}
