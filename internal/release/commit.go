package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// commit is what git has committed.
type commit struct {
	id    string
	root  string // the folder of the repository
	at    time.Time
	files []*zip.File // of all modules, by their path in the repository
}

// head returns the commit that is checked out in the repository that dir belongs to.
func head(ctx context.Context, dir string) (*commit, error) {
	top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	root := strings.TrimSpace(string(top))
	said, err := git(ctx, root, "log", "-1", "--format=%H %cI")
	if err != nil {
		return nil, err
	}
	id, date, _ := strings.Cut(strings.TrimSpace(string(said)), " ")
	at, err := time.Parse(time.RFC3339, date)
	if err != nil {
		return nil, err
	}
	// As the go command does it, so that no setting of git's changes a byte.
	archive, err := git(ctx, root, "-c", "core.autocrlf=input", "-c", "core.eol=lf", "archive", "--format=zip", id)
	if err != nil {
		return nil, err
	}
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	return &commit{id: id, root: root, at: at.UTC(), files: files.File}, nil
}

// pseudoVersion is the version that the go command calls a commit by which has no tag.
func (c *commit) pseudoVersion() string { return module.PseudoVersion("v0", "", c.at, c.id[:12]) }

// read returns the content of the file of that name, and nil if there is none.
func (c *commit) read(name string) ([]byte, error) {
	for _, f := range c.files {
		if f.Name != name {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return nil, nil
}

// published returns the folders of the modules that users get: the root's, which is "",
// and those below pdcompat. What the others are for is done here.
func (c *commit) published() []string {
	folders := []string{""}
	for _, f := range c.files {
		dir, name := path.Split(f.Name)
		if name == "go.mod" && strings.HasPrefix(dir, "pdcompat/") {
			folders = append(folders, dir)
		}
	}
	return folders
}

// modFiles returns the go.mod of each published module, by its folder.
func (c *commit) modFiles() (map[string]*modfile.File, error) {
	mods := make(map[string]*modfile.File)
	for _, folder := range c.published() {
		name := folder + "go.mod"
		content, err := c.read(name)
		if err != nil {
			return nil, err
		}
		if mods[folder], err = modfile.Parse(name, content, nil); err != nil {
			return nil, err
		}
	}
	return mods, nil
}

// git returns what git prints.
func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(exit.Stderr))
	}
	return out, err
}
