package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/tsoring/tso/integration/faults"
)

// runCrowds runs the faults for many, with one kind of client after the other. Those that
// could not be run are in failed; err ends everything.
func runCrowds(ctx context.Context, cfg config, stderr io.Writer) (outcomes []*faults.CrowdOutcome, failed []error, err error) {
	crowds := cfg.crowds()
	for i, crowd := range crowds {
		fmt.Fprintf(stderr, "%2d of %d: %s\n", i+1, len(crowds), crowd.Name)
		of := make(map[string]*faults.CrowdOutcome)
		for _, client := range crowd.Clients(cfg.clients) {
			o, err := faults.RunCrowd(ctx, crowd, client)
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			if err != nil {
				failed = append(failed, err)
				fmt.Fprintf(stderr, "    %v\n", err)
				continue
			}
			outcomes, of[client] = append(outcomes, o), o
			tellCrowd(stderr, o)
		}
		if ours, upstream := of[faults.Ours], of[faults.Upstream]; ours != nil && upstream != nil {
			if missed := faults.CrowdMissed(ours, upstream); missed != "" {
				fmt.Fprintf(stderr, "    missed: %s\n", missed)
			}
		}
	}
	return outcomes, failed, nil
}

// tellCrowd writes more of an outcome than the table has room for.
func tellCrowd(w io.Writer, o *faults.CrowdOutcome) {
	fmt.Fprintf(w, "    %s: PD's CPU %v while they opened\n", o.Client, o.Opening.Round(time.Millisecond))
	fmt.Fprintf(w, "    %s: PD's CPU %v, clients' %v, served again after %v, %v, %v, %d calls, %d errors\n",
		o.Client, o.PD.Round(time.Millisecond), o.Clients.Round(time.Millisecond), o.First.Round(time.Millisecond),
		o.Half.Round(time.Millisecond), o.All.Round(time.Millisecond), o.Calls, o.Errors)
	for _, method := range slices.Sorted(maps.Keys(o.OpeningRPCs)) {
		fmt.Fprintf(w, "        %.3f × %s a client to open\n", o.OpeningRPCs[method], method)
	}
	for _, method := range slices.Sorted(maps.Keys(o.RPCs)) {
		fmt.Fprintf(w, "        %.3f × %s a client, %.2f messages\n", o.RPCs[method], method, o.Requests[method])
	}
	for text, n := range o.Messages {
		fmt.Fprintf(w, "        %d × %s\n", n, text)
	}
	fmt.Fprintf(w, "    the machine: %v\n", o.Machine.Round(100*time.Microsecond))
}
