package tso

import (
	"errors"
	"time"
)

// With Local TSO, some low bits of a timestamp's logical time tell its dc-location, so that
// no two scopes grant the same; how many comes with each answer. PD never gives a suffix
// back, so the number grows only. But a PD leader that has just been elected may not know of
// any dc-location yet: then it grants global timestamps by itself, without suffix bits and
// without asking those who grant local ones (GenerateTSO in pkg/tso/global_allocator.go).
// These may repeat others, and local ones that are granted later may lie below. Seen with a
// PD of April 2024: twice where the leader of a young cluster was killed 18 times.

// errSuffixForgotten is why a stream ends whose member has forgotten of dc-locations.
var errSuffixForgotten = errors.New("PD does not know of its dc-locations yet: fewer suffix bits than before")

// suffixGrace is for how long such answers are not believed. PD reads what dc-locations
// there are when it has become the leader, which takes it some milliseconds. If they are
// gone for good, as when Local TSO was switched off, calls wait for so long, once.
const suffixGrace = 3 * time.Second

// suffix is what the answers of a lane have said of suffix bits. Of the run goroutine.
type suffix struct {
	bits  uint32
	fewer int64  // since when answers have had fewer, 0 if the last had not
	url   string // of the member that sends those
}

// believe reports whether an answer with that many bits, from the member at url, can be
// used.
func (s *suffix) believe(bits uint32, url string, now int64) bool {
	if bits >= s.bits {
		s.bits, s.fewer = bits, 0
		return true
	}
	if s.fewer == 0 || s.url != url {
		s.fewer, s.url = now, url
	}
	if now-s.fewer < int64(suffixGrace) {
		return false
	}
	s.bits, s.fewer = bits, 0
	return true
}
