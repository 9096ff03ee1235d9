// Package pdcompat holds what the adapters to PD's own client share: what their clients can
// do beyond the interface of PD's client, found by type assertion.
//
// An adapter is a module of its own for each era of github.com/tikv/pd/client, whose types
// differ: pdcompat/pd2025 (its master since 2025), pdcompat/pd85 (the line of release 8.5)
// and pdcompat/pd2022 (2022 and 2023). Each has the constructors of PD's client by name, and
// returns a client of PD's whose timestamps come from this library.
package pdcompat

import (
	"context"
	"errors"

	"github.com/tsoring/tso"
)

// ErrNoBatches says that timestamps come from PD's own client now, which has none in
// batches; see Stats.Why.
var ErrNoBatches = errors.New("tso: no batches while timestamps come from PD's own client")

// Stats is what an adapter's client has done so far.
type Stats struct {
	// Stats are those of this library's client inside, zero while there is none.
	tso.Stats
	// Upstream is whether timestamps come from PD's own client inside now, and Why says
	// why they do; it is empty while they do not.
	Upstream bool
	Why      string
	// UpstreamCalls is the number of calls for timestamps that PD's own client was given,
	// again for each time that it was given one again.
	UpstreamCalls int64
	// Handovers is how often timestamps have begun to come from the other of the two.
	Handovers int64
}

// StatsClient is what each client of an adapter also is.
type StatsClient interface {
	// Stats returns what the client has done so far. It never blocks.
	Stats() Stats
}

// BatchClient is what each client of an adapter also is.
type BatchClient interface {
	// GetTSBatch returns n timestamps, as tso.Client does. The error Is ErrNoBatches where
	// timestamps come from PD's own client.
	GetTSBatch(ctx context.Context, n int) (tso.Batch, error)
}
