package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tsoring/tso/bench/internal/result"
)

// write writes the folder of results.
func write(cfg config, file result.File, out io.Writer) error {
	if err := os.MkdirAll(cfg.out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	name := filepath.Join(cfg.out, "results.json")
	if err := file.Write(name); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	fmt.Fprintf(out, "written to %s\n", cfg.out)
	return nil
}
