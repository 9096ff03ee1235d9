package soak

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profile writes profiles of a moment, if they are wanted.
func (r *run) profile(moment string) {
	if r.cfg.Profiles == "" {
		return
	}
	err := errors.Join(r.writeProfile(moment, "goroutine", 1), r.writeProfile(moment, "heap", 0))
	if err != nil {
		fmt.Fprintf(r.cfg.Out, "no profile: %v\n", err)
	}
}

func (r *run) writeProfile(moment, kind string, format int) error {
	name := fmt.Sprintf("%03d-%s-%s", len(r.quiets), moment, kind)
	file, err := os.Create(filepath.Join(r.cfg.Profiles, name))
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup(kind).WriteTo(file, format), file.Close())
}
