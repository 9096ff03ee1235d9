package main

import (
	archive "archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/zip"
)

// pack writes all published modules into the folder proxy, in the layout that GOPROXY
// describes (go help goproxy), and returns them, the root first. Without a version they
// get the commit's.
func (c *commit) pack(proxy, version string) ([]module.Version, error) {
	if version == "" {
		version = c.pseudoVersion()
	}
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	mods, err := c.modFiles()
	if err != nil {
		return nil, err
	}
	ours := paths(mods)
	var packed []module.Version
	for _, folder := range c.published() {
		mod := mods[folder]
		if err := asUsersGetIt(mod, mods[""].Module.Mod.Path, ours, version); err != nil {
			return nil, fmt.Errorf("%sgo.mod: %w", folder, err)
		}
		m := module.Version{Path: mod.Module.Mod.Path, Version: version}
		if err := c.packOne(proxy, folder, m, modfile.Format(mod.Syntax)); err != nil {
			return nil, fmt.Errorf("%v: %w", m, err)
		}
		packed = append(packed, m)
	}
	return packed, nil
}

func checkVersion(version string) error {
	if semver.Canonical(version) != version {
		return fmt.Errorf("%q is no version of a module, such as v0.1.0", version)
	}
	return nil
}

// paths is the names of modules.
func paths(mods map[string]*modfile.File) map[string]bool {
	names := make(map[string]bool)
	for _, mod := range mods {
		names[mod.Module.Mod.Path] = true
	}
	return names
}

// asUsersGetIt takes out of mod what is for development, and has it require those of our
// modules that it needs in the version given.
func asUsersGetIt(mod *modfile.File, root string, ours map[string]bool, version string) error {
	for _, r := range slices.Clone(mod.Replace) {
		if !ours[r.Old.Path] {
			return fmt.Errorf("it replaces %s: users would not, and so get something else than the tests", r.Old.Path)
		}
		if err := mod.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return err
		}
	}
	if len(mod.Exclude) > 0 {
		return fmt.Errorf("it excludes %s: users would not", mod.Exclude[0].Mod.Path)
	}
	for _, r := range mod.Require {
		switch {
		case ours[r.Mod.Path]:
			if err := mod.AddRequire(r.Mod.Path, version); err != nil {
				return err
			}
		case strings.HasPrefix(r.Mod.Path, root+"/"):
			return fmt.Errorf("it requires %s, which is not published", r.Mod.Path)
		}
	}
	mod.Cleanup()
	return nil
}

// packOne writes the four files of a version of a module.
func (c *commit) packOne(proxy, folder string, m module.Version, mod []byte) error {
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	dir := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := c.filesOf(folder, mod)
	if err != nil {
		return err
	}
	var zipped bytes.Buffer
	if err := zip.Create(&zipped, m, files); err != nil { // leaves out the modules below
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{m.Version, c.at})
	if err != nil {
		return err
	}
	base := filepath.Join(dir, m.Version)
	return errors.Join(
		os.WriteFile(base+".zip", zipped.Bytes(), 0o644),
		os.WriteFile(base+".mod", mod, 0o644),
		os.WriteFile(base+".info", info, 0o644),
		addLine(filepath.Join(dir, "list"), m.Version),
	)
}

// filesOf returns the files of a module, with mod as its go.mod. One that has no license of
// its own gets the repository's, as the go command does it.
func (c *commit) filesOf(folder string, mod []byte) ([]zip.File, error) {
	files := []zip.File{content{"go.mod", mod}}
	licensed := false
	for _, f := range c.files {
		name, below := strings.CutPrefix(f.Name, folder)
		if !below || strings.HasSuffix(f.Name, "/") || name == "go.mod" {
			continue
		}
		licensed = licensed || name == "LICENSE"
		files = append(files, committed{name, f})
	}
	if licensed {
		return files, nil
	}
	license, err := c.read("LICENSE")
	if err != nil {
		return nil, err
	}
	return append(files, content{"LICENSE", license}), nil
}

// addLine adds a line to a file that may not be there yet, if it has none such.
func addLine(name, line string) error {
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	lines := strings.Fields(string(old))
	if slices.Contains(lines, line) {
		return nil
	}
	return os.WriteFile(name, []byte(strings.Join(append(lines, line), "\n")+"\n"), 0o644)
}

// committed is a file of the commit, by its name in a module.
type committed struct {
	name string
	f    *archive.File
}

func (c committed) Path() string                 { return c.name }
func (c committed) Lstat() (os.FileInfo, error)  { return c.f.FileInfo(), nil }
func (c committed) Open() (io.ReadCloser, error) { return c.f.Open() }

// content is a file of a module that is not in the commit as users get it.
type content struct {
	name string
	data []byte
}

func (c content) Path() string                 { return c.name }
func (c content) Lstat() (os.FileInfo, error)  { return contentInfo(c), nil }
func (c content) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.data)), nil }

type contentInfo content

func (c contentInfo) Name() string       { return path.Base(c.name) }
func (c contentInfo) Size() int64        { return int64(len(c.data)) }
func (c contentInfo) Mode() os.FileMode  { return 0o644 }
func (c contentInfo) ModTime() time.Time { return time.Time{} }
func (c contentInfo) IsDir() bool        { return false }
func (c contentInfo) Sys() any           { return nil }
