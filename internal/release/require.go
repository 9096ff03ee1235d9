package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// requireAll has all modules of the repository that dir belongs to require the published ones in
// a version, in the files as they lie there; it returns those that it has changed. Nothing
// else changes with that, go.sum neither: what is replaced has no sums.
func requireAll(ctx context.Context, dir, version string) (changed []string, err error) {
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	c, err := head(ctx, dir)
	if err != nil {
		return nil, err
	}
	mods, err := c.modFiles()
	if err != nil {
		return nil, err
	}
	ours := paths(mods)
	for _, f := range c.files {
		if !strings.HasSuffix(f.Name, ".mod") {
			continue
		}
		name := filepath.Join(c.root, filepath.FromSlash(f.Name))
		done, err := requireIn(name, ours, version)
		if err != nil {
			return changed, err
		}
		if done {
			changed = append(changed, f.Name)
		}
	}
	return changed, nil
}

// requireIn does it to one file, and reports whether there was something to do.
func requireIn(name string, ours map[string]bool, version string) (bool, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	mod, err := modfile.Parse(name, content, nil)
	if err != nil {
		return false, err
	}
	found := false
	for _, r := range mod.Require {
		if !ours[r.Mod.Path] || r.Mod.Version == version {
			continue
		}
		found = true
		if err := mod.AddRequire(r.Mod.Path, version); err != nil {
			return false, err
		}
	}
	if !found {
		return false, nil
	}
	return true, os.WriteFile(name, modfile.Format(mod.Syntax), 0o644)
}
