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

// runAll runs the rows, then the crowds, and prints each when it is there, and the tables at
// the end.
func runAll(ctx context.Context, cfg config, stdout, stderr io.Writer) error {
	if cfg.list {
		list(stdout, cfg)
		return nil
	}
	began := time.Now()
	results, failed, err := runRows(ctx, cfg, stderr)
	if err != nil {
		return err
	}
	crowds, more, err := runCrowds(ctx, cfg, stderr)
	if err != nil {
		return err
	}
	report := newReport(began, cfg, results, crowds)
	fmt.Fprint(stdout, report.text())
	return errors.Join(append(append(failed, more...), report.save(cfg.results))...)
}

func list(w io.Writer, cfg config) {
	for _, row := range cfg.rows() {
		fmt.Fprintln(w, row.Name)
	}
	for _, crowd := range cfg.crowds() {
		fmt.Fprintln(w, crowd.Name)
	}
}

// runRows runs the rows. Those that could not be run are in failed; err ends everything.
func runRows(ctx context.Context, cfg config, stderr io.Writer) (results []*faults.Result, failed []error, err error) {
	log, err := cli.Logger(cfg.log)
	if err != nil {
		return nil, nil, err
	}
	rows := cfg.rows()
	h := &hospital{clusters: make(map[faults.Kind]*pdcluster.Cluster)}
	defer h.close(stderr)
	if err := h.prepare(ctx, rows); err != nil {
		return nil, nil, err
	}
	for i, row := range rows {
		fmt.Fprintf(stderr, "%2d of %d: %s\n", i+1, len(rows), row.Name)
		r, err := h.treat(ctx, row, cfg, log)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
			fmt.Fprintf(stderr, "    %v\n", err)
			continue
		}
		results = append(results, r)
		tell(stderr, r)
	}
	return results, failed, nil
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
