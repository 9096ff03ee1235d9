package soak

import (
	"context"
	"fmt"
)

// quiet stops everybody, reads, and lets them go on. A caller that does not come back
// is a finding.
func (r *run) quiet() {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.pace.patience)
	defer cancel()
	defer r.gate.open()
	if !r.gate.shut(ctx) {
		r.ledger.find("stuck", "callers are not back %v after they were told to stop", r.cfg.pace.patience)
		return
	}
	r.fleet.still.Lock()
	defer r.fleet.still.Unlock()
	r.fleet.calm()
	r.quiets = append(r.quiets, r.readQuiet())
	fmt.Fprintf(r.cfg.Out, "quiet at %v\n", r.quiets[len(r.quiets)-1])
	r.profile("quiet")
}
