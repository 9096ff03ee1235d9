package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/integration/faults"
)

// report is what a run leaves behind.
type report struct {
	began   time.Time
	took    time.Duration
	command string
	results []*faults.Result
}

func newReport(began time.Time, cfg config, results []*faults.Result) *report {
	command := "make faults"
	if len(cfg.only) > 0 {
		command += " ONLY='" + strings.Join(cfg.only, ",") + "'"
	}
	return &report{began, time.Since(began), command, results}
}

const legend = `The floor is for how long no member served, asked directly (or no client could be
served, where the only way is cut). "Adds" is the longest that any silence of a client
lasted beyond that. 8 callers without a deadline per client, both clients in one process
and on the same cluster. What a client adds is rounded down by up to 5 ms; in it is what
the machine adds to everybody, whose worst moment the last column shows.
`

func (r *report) header() string {
	return cli.Provenance(r.command, r.took)
}

// text is the report for a terminal.
func (r *report) text() string {
	return "\n" + cli.Trimmed(faults.Table(r.results).Render()) + "\n\n" + r.header()
}

// markdown is the report for a file.
func (r *report) markdown() string {
	return fmt.Sprintf("# Faults on real PD, %s\n\n%s\n%s\n%s\n",
		r.began.Format("2006-01-02 15:04"), r.header(), legend, faults.Table(r.results).RenderMarkdown())
}

// save writes the report to a new file in a folder, if one is given.
func (r *report) save(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, r.began.Format("2006-01-02-1504")+"-faults.md")
	return os.WriteFile(path, []byte(r.markdown()), 0o644)
}
