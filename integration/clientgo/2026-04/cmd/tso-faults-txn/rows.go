package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tsoring/tso/integration/clientgo/2026-04/stack"
	"github.com/tsoring/tso/integration/faults"
	"github.com/tsoring/tso/integration/pdcluster"
)

// result is a row of the table.
type result struct {
	row faults.Row
	verdict
}

// runRows runs the rows, tells of each when it is there, and prints the table at the end.
func runRows(ctx context.Context, cfg config, stdout, stderr io.Writer) error {
	rows := cfg.rows()
	if cfg.list {
		for _, row := range rows {
			fmt.Fprintln(stdout, row.Name)
		}
		return nil
	}
	began := time.Now()
	h := &hospital{clusters: make(map[faults.Kind]*pdcluster.Cluster)}
	defer h.close(stderr)
	var results []result
	var failed []error
	for i, row := range rows {
		fmt.Fprintf(stderr, "%2d of %d: %s\n", i+1, len(rows), row.Name)
		v, err := h.treat(ctx, row)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
			fmt.Fprintf(stderr, "    %v\n", err)
			continue
		}
		results = append(results, result{row, v})
		failed = append(failed, tell(stderr, row, v.outcomes))
	}
	report := newReport(began, cfg, results)
	fmt.Fprint(stdout, report.text())
	return errors.Join(append(failed, report.save(cfg.results))...)
}

// tell writes more of a row than the table has room for, and returns what no client may do.
func tell(w io.Writer, row faults.Row, outcomes []outcome) error {
	var errs []error
	for _, o := range outcomes {
		fmt.Fprintf(w, "    %s: %d committed, %d conflicts, %d failed, %d slow, %d very slow, longest %v, silence %v, %d audits\n",
			o.client, o.Committed, o.Conflicts, o.Failed, o.Slow(slow), o.Slow(verySlow), brief(o.Longest()), brief(o.Silence), o.Audits)
		for text, n := range o.Messages {
			fmt.Fprintf(w, "        %d × %s\n", n, text)
		}
		if o.Unbalanced+len(o.wrong) > 0 {
			errs = append(errs, fmt.Errorf("%s: %s: %d snapshots without balance, timestamps: %v",
				row.Name, o.client, o.Unbalanced, o.wrong))
		}
	}
	return errors.Join(errs...)
}

// hospital keeps a cluster of each kind that is needed.
type hospital struct {
	clusters map[faults.Kind]*pdcluster.Cluster
	stores   []*pdcluster.Store
}

func (h *hospital) treat(ctx context.Context, row faults.Row) (verdict, error) {
	cluster := h.clusters[row.Cluster]
	if cluster == nil {
		var err error
		if cluster, err = pdcluster.Start(ctx, row.Cluster.Config()); err != nil {
			return verdict{}, err
		}
		h.clusters[row.Cluster] = cluster
		store, err := stack.Serve(ctx, cluster)
		if err != nil {
			return verdict{}, err
		}
		h.stores = append(h.stores, store)
	}
	return try(ctx, cluster, row, clients)
}

func (h *hospital) close(stderr io.Writer) {
	for _, s := range h.stores {
		s.Stop()
	}
	for _, c := range h.clusters {
		if err := c.Close(); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
		}
	}
}
