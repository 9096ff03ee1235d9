package cli

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Provenance is the line that says how figures were measured: machine, Go, sources,
// command, and the time that it took.
func Provenance(command string, took time.Duration) string {
	return fmt.Sprintf("%s, %s/%s, %d processors, %s, commit %s, %s, took %v\n",
		cpu(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), commit(), command, took.Round(time.Second))
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

// Trimmed takes the blanks away that fill up the last column of a table.
func Trimmed(table string) string {
	lines := strings.Split(table, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
