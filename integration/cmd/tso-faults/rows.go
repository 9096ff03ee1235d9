package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/integration/faults"
	"github.com/tsoring/tso/integration/pdcluster"
)

// runRows runs the rows, and prints each when it is there, and the table at the end.
func runRows(ctx context.Context, cfg config, stdout, stderr io.Writer) error {
	rows := cfg.rows()
	if cfg.list {
		for _, row := range rows {
			fmt.Fprintln(stdout, row.Name)
		}
		return nil
	}
	log, err := cli.Logger(cfg.log)
	if err != nil {
		return err
	}
	began := time.Now()
	h := &hospital{clusters: make(map[faults.Kind]*pdcluster.Cluster)}
	defer h.close(stderr)
	if err := h.prepare(ctx, rows); err != nil {
		return err
	}
	var results []*faults.Result
	var failed []error
	for i, row := range rows {
		fmt.Fprintf(stderr, "%2d of %d: %s\n", i+1, len(rows), row.Name)
		r, err := h.treat(ctx, row, cfg, log)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
			fmt.Fprintf(stderr, "    %v\n", err)
			continue
		}
		results = append(results, r)
		tell(stderr, r)
	}
	report := newReport(began, cfg, results)
	fmt.Fprint(stdout, report.text())
	return errors.Join(append(failed, report.save(cfg.results))...)
}

// tell writes more of a result than the table has room for.
func tell(w io.Writer, r *faults.Result) {
	for _, o := range r.Clients {
		fmt.Fprintf(w, "    %s: adds %v (over %v after the fault), longest call %v, %d calls, %d errors\n",
			o.Client, o.Adds.Round(100*time.Microsecond), o.At.Round(time.Millisecond),
			o.Longest.Round(100*time.Microsecond), o.Calls, o.Errors)
		for text, n := range o.Messages {
			fmt.Fprintf(w, "        %d × %s\n", n, text)
		}
	}
	fmt.Fprintf(w, "    the machine: %v\n", r.Machine.Round(100*time.Microsecond))
	if missed := r.Missed(1, 0); missed != "" {
		fmt.Fprintf(w, "    missed: %s\n", missed)
	}
}

// hospital keeps a cluster of each kind that is needed, for as long as rows need it.
type hospital struct {
	clusters map[faults.Kind]*pdcluster.Cluster
}

// prepare starts all clusters, so that Local TSO's allocators have time to go home,
// which takes PD a minute.
func (h *hospital) prepare(ctx context.Context, rows []faults.Row) error {
	for _, row := range rows {
		if h.clusters[row.Cluster] != nil {
			continue
		}
		c, err := pdcluster.Start(ctx, row.Cluster.Config())
		if err != nil {
			return err
		}
		h.clusters[row.Cluster] = c
	}
	return nil
}

func (h *hospital) treat(ctx context.Context, row faults.Row, cfg config, log *zap.Logger) (*faults.Result, error) {
	return faults.Run(ctx, row, faults.Config{
		Cluster: h.clusters[row.Cluster], Clients: row.Clients(cfg.clients), Log: log,
	})
}

func (h *hospital) close(stderr io.Writer) {
	for _, c := range h.clusters {
		if err := c.Close(); err != nil {
			fmt.Fprintf(stderr, "tso-faults: %v\n", err)
		}
	}
}
