package result

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Header says where results come from, and what absolute numbers depend on.
type Header struct {
	Date     string   `json:"date"`
	Command  string   `json:"command"`
	Commit   string   `json:"commit"`
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	Procs    int      `json:"gomaxprocs"`
	OS       string   `json:"os"`
	Go       string   `json:"go"`
	Versions []string `json:"versions"`
	Rounds   int      `json:"rounds"`
	Duration string   `json:"duration"`
}

// NewHeader describes this process and this machine, but for what is measured.
func NewHeader(command string) Header {
	return Header{
		Date:    time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Command: command,
		Commit:  commit(),
		CPU:     cpuModel(), Cores: runtime.NumCPU(), Procs: runtime.GOMAXPROCS(0),
		OS: system(), Go: runtime.Version(), Versions: versions(),
	}
}

// Machine is the machine in a line.
func (h Header) Machine() string {
	return strings.Join([]string{h.CPU, plural(h.Cores, "core"), h.OS, h.Go}, ", ")
}

// commit asks git, since `go run` does not note what it builds. A + after it stands
// for changes that are not committed.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output()
	if err == nil && len(changes) > 0 {
		name += "+"
	}
	return name
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func system() string {
	name := runtime.GOOS + "/" + runtime.GOARCH
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return name
	}
	number, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
	return name + " " + number
}

// versions says which releases of what others have written take part.
func versions() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var found []string
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/tikv/pd/client", "google.golang.org/grpc":
			found = append(found, module.Path+" "+module.Version)
		}
	}
	return found
}
