package stack

import (
	"fmt"

	pd "github.com/tikv/pd/client"

	"github.com/tsoring/tso/integration/bank"
	"github.com/tsoring/tso/pdcompat"
)

// Check returns what is wrong with the timestamps that were taken of a client, which is
// closed: with their order and, if the client stands in for PD's own, with where they come
// from. Each has to be among those that it has asked PD for, and it asks for each once, but
// for what it asks for again on another stream.
func Check(client pd.Client, tally *bank.Tally) (wrong []string) {
	for _, v := range tally.Violations() {
		wrong = append(wrong, v.String())
	}
	counted, ok := client.(pdcompat.StatsClient)
	if !ok {
		return wrong
	}
	s := counted.Stats()
	if s.Upstream || s.UpstreamCalls > 0 {
		wrong = append(wrong, fmt.Sprintf("PD's own client was asked %d times: %q", s.UpstreamCalls, s.Why))
	}
	taken, failed := tally.Counts()
	if most := int64(taken+failed) + s.Resent*s.LargestBatch; s.Timestamps < int64(taken) || s.Timestamps > most {
		wrong = append(wrong, fmt.Sprintf("PD was asked for %d timestamps, where %d to %d were taken", s.Timestamps, taken, most))
	}
	return wrong
}
