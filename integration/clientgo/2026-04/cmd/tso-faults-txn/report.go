package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tsoring/tso/integration/cli"
)

// What transactions have to take longer than to be slow, and very slow.
const (
	slow     = 100 * time.Millisecond
	verySlow = time.Second
)

// report is what a run leaves behind.
type report struct {
	began   time.Time
	took    time.Duration
	command string
	results []result
}

func newReport(began time.Time, cfg config, results []result) *report {
	command := "make faults-txn"
	if len(cfg.only) > 0 {
		command += " ONLY='" + strings.Join(cfg.only, ",") + "'"
	}
	return &report{began, time.Since(began), command, results}
}

// legend says how to read the table.
var legend = fmt.Sprintf(`client-go's transactions on a real PD, over its own client and over ours: %d goroutines move
money between %d accounts, one transfer in %v each. Both run at the same time, in one process
and on one cluster, with the options that client-go sets by default, and each on data of its
own in client-go's mock of TiKV. Slow transactions took more than %v, very slow ones more than
%v, from Begin to the end of Commit; what has failed returned an error other than a conflict,
after all that client-go tries by itself. The silence is the longest time in which nothing was
committed; PD's own, by the side of which it is to be seen, is the longest in which no member,
asked directly, served a timestamp: where the fault is on the way to the leader it is short, and
without forwarding nobody can be served for 10 s. In each snapshot the balance was kept, and the
timestamps were in order, unless the last column says otherwise.
`, tellers, accounts, pause, slow, verySlow)

// table returns the results as a table, ready to be rendered as text or Markdown.
func (r *report) table() table.Writer {
	t := table.NewWriter()
	header := table.Row{"fault", "PD silent"}
	for _, c := range clients {
		header = append(header, c.name+" commits", "failed", fmt.Sprintf("> %v", slow), fmt.Sprintf("> %v", verySlow), "longest", "silence")
	}
	t.AppendHeader(append(header, "wrong"))
	for _, result := range r.results {
		row, wrong := table.Row{result.row.Name, brief(result.silence)}, 0
		for _, o := range result.outcomes {
			row = append(row, o.Committed, o.Failed, o.Slow(slow), o.Slow(verySlow), brief(o.Longest()), brief(o.Silence))
			wrong += o.Unbalanced + len(o.wrong)
		}
		t.AppendRow(append(row, wrong))
	}
	return t
}

func (r *report) header() string { return cli.Provenance(r.command, r.took) }

// text is the report for a terminal, with the table as it would be kept.
func (r *report) text() string {
	return "\n" + r.table().RenderMarkdown() + "\n\n" + r.header()
}

// markdown is the report for a file.
func (r *report) markdown() string {
	return fmt.Sprintf("# Transactions during faults of PD, %s\n\n%s\n%s\n%s\n",
		r.began.Format("2006-01-02 15:04"), r.header(), legend, r.table().RenderMarkdown())
}

// save writes the report to a new file in a folder, if one is given.
func (r *report) save(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, r.began.Format("2006-01-02-1504")+"-faults-txn.md")
	return os.WriteFile(path, []byte(r.markdown()), 0o644)
}

// brief writes a duration with two digits or so.
func brief(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
