package pdcluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// SaveLogs copies all that the members have written so far to one file, which outlives
// the cluster, and returns a sentence that names it: the logs would bury the failure
// that they explain.
func (c *Cluster) SaveLogs() string {
	path, err := c.saveLogs()
	if err != nil {
		return fmt.Sprintf("the members' logs are lost: %v", err)
	}
	return "the members' logs are in " + path
}

func (c *Cluster) saveLogs() (path string, err error) {
	dir, err := logDir()
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, "pd-*.log")
	if err != nil {
		return "", err
	}
	var errs []error
	for _, from := range c.logFiles() {
		errs = append(errs, appendFile(file, from))
	}
	return file.Name(), errors.Join(append(errs, file.Close())...)
}

// logFiles returns all that members write to.
func (c *Cluster) logFiles() []string {
	var files []string
	for _, m := range c.Members() {
		files = append(files, m.LogPath, m.outputPath())
	}
	for _, s := range c.services {
		files = append(files, s.LogPath, s.outputPath())
	}
	return files
}

// logged reports whether a member has written something.
func (c *Cluster) logged(text string) bool {
	return slices.ContainsFunc(c.logFiles(), func(file string) bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), text)
	})
}

// logDir is where the PD server is built, or where temporary files go.
func logDir() (string, error) {
	dir := os.TempDir()
	if integration, err := moduleRoot(); err == nil {
		dir = filepath.Join(filepath.Dir(integration), ".bin")
	}
	dir = filepath.Join(dir, "logs")
	return dir, os.MkdirAll(dir, 0o755)
}

// appendFile writes a file, under its name, to w. One that does not exist is empty: a
// member that has not been up has no log.
func appendFile(w io.Writer, path string) error {
	if _, err := fmt.Fprintf(w, "--- %s\n", path); err != nil {
		return err
	}
	from, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(w, from)
	return err
}
