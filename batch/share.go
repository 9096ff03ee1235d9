package batch

// Range is the timestamps of one response: count values with one physical time,
// a step apart.
type Range struct {
	first uint64 // physical<<18 | logical of the first one
	step  uint64
}

// Share returns the range of a response that grants count timestamps. PD puts
// the largest logical time of the batch into its response; with suffix bits
// (Local TSO keeps the low bits of logical to tell dc-locations apart) the
// neighbours are 1<<suffixBits apart, so the i-th one is
//
//	logical + (i-count+1)<<suffixBits
//
// The caller has validated the response: physical is positive and fits, and
// the first logical is not negative.
func Share(physical, logical int64, count, suffixBits uint32) Range {
	step := uint64(1) << suffixBits
	last := uint64(physical)<<logicalBits | uint64(logical)
	return Range{first: last - uint64(count-1)*step, step: step}
}

// At returns timestamp i of the range, composed as physical<<18 | logical.
func (r Range) At(i int) uint64 { return r.first + uint64(i)*r.step }

// Step returns how far apart neighbours are: at most 1<<4.
func (r Range) Step() uint8 { return uint8(r.step) }
