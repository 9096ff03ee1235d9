package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

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
	return fmt.Sprintf("%s, %s/%s, %d processors, %s, commit %s, %s, took %v\n",
		cpu(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), commit(), r.command, r.took.Round(time.Second))
}

// text is the report for a terminal.
func (r *report) text() string {
	return "\n" + trimmed(faults.Table(r.results).Render()) + "\n\n" + r.header()
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

// trimmed takes the blanks away that fill up the last column.
func trimmed(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// cpu names the processor where the system tells.
func cpu() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "processor unknown"
}

// commit names the state of the sources, "+" for more than that.
func commit() string {
	head, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	if exec.Command("git", "diff", "--quiet", "HEAD").Run() != nil {
		name += "+"
	}
	return name
}
