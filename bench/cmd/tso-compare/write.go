package main

import (
	"fmt"
	"io"

	"github.com/tsoring/tso/bench/internal/report"
	"github.com/tsoring/tso/bench/internal/result"
)

// write writes the folder of results.
func write(cfg config, file result.File, out io.Writer) error {
	if err := report.Write(cfg.out, cfg.selected, file); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	fmt.Fprintf(out, "written to %s\n", cfg.out)
	return nil
}
