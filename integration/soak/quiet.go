package soak

import (
	"context"
	"fmt"
	"time"
)

const (
	// quietFor is how long it is quiet before anything is read, for what lingers to go
	// and for what is on its way to come; then it is read some times.
	quietFor, quietReads, quietStep = 1500 * time.Millisecond, 5, 100 * time.Millisecond
	// shutPatience is how long callers may take to be back: as long as the longest call.
	shutPatience = budgetEnd + 2*slack
)

// quiet stops everybody, reads, and lets them go on. A caller that does not come back
// is a finding.
func (r *run) quiet() {
	ctx, cancel := context.WithTimeout(context.Background(), shutPatience)
	defer cancel()
	defer r.gate.open()
	if !r.gate.shut(ctx) {
		r.ledger.find("stuck", "callers are not back %v after they were told to stop", shutPatience)
		return
	}
	r.fleet.still.Lock()
	defer r.fleet.still.Unlock()
	r.fleet.calm()
	r.quiets = append(r.quiets, r.readQuiet())
	fmt.Fprintf(r.cfg.Out, "quiet at %v\n", r.quiets[len(r.quiets)-1])
	r.profile("quiet")
}
