package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tsoring/tso/bench/internal/report"
	"github.com/tsoring/tso/bench/internal/result"
)

// compare measures, and prints what it has come to, even when it is interrupted.
func compare(ctx context.Context, cfg config, args []string, out, progress io.Writer) error {
	if cfg.list {
		list(cfg, out)
		return nil
	}
	file, err := obtain(ctx, cfg, args, progress)
	if len(file.Results) == 0 {
		return err
	}
	show(cfg, file, out)
	if cfg.out != "" {
		err = errors.Join(err, write(cfg, file, out))
	}
	return err
}

// obtain measures, or reads what was measured before.
func obtain(ctx context.Context, cfg config, args []string, progress io.Writer) (result.File, error) {
	if cfg.from != "" {
		return result.Read(cfg.from)
	}
	file := result.File{Header: result.NewHeader(strings.Join(append([]string{"tso-compare"}, args...), " "))}
	file.Header.Rounds, file.Header.Duration = cfg.rounds, cfg.duration.String()
	var err error
	file.Results, err = measure(ctx, cfg, progress)
	return file, err
}

// show prints the tables.
func show(cfg config, file result.File, out io.Writer) {
	h := file.Header
	fmt.Fprintf(out, "%s\n%s\ncommit %s, %s\n%d rounds of %s each, interleaved: medians, and medians of the ratios within a round\n\n",
		h.Machine(), strings.Join(h.Versions, ", "), h.Commit, h.Date, h.Rounds, h.Duration)
	fmt.Fprint(out, report.Text(cfg.selected, file.Results))
	fmt.Fprint(out, report.Failures(file.Results))
}

// list prints what would be compared.
func list(cfg config, out io.Writer) {
	for _, s := range cfg.selected {
		var names []string
		for _, r := range s.Rivals {
			names = append(names, r.Name)
		}
		fmt.Fprintf(out, "%-28s  %-24s %s\n", s.Name(), s.Site, strings.Join(names, ", "))
	}
}
