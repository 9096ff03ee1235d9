package main

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// repository commits files and returns the folder that they are in.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."},
		{"-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "x"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return dir
}

func put(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}

// small is a repository like this one.
func small() map[string]string {
	return map[string]string{
		"go.mod":           "module example.com/m\n\ngo 1.25.0\n",
		"LICENSE":          "yours",
		"a.go":             "package m\n",
		"bench/go.mod":     "module example.com/m/bench\n",
		"bench/b.go":       "package bench\n",
		"pdcompat/doc.go":  "package pdcompat\n",
		"pdcompat/n/n.go":  "package n\n",
		"pdcompat/n/x/x.s": "",
		"pdcompat/n/go.mod": "module example.com/m/pdcompat/n\n\ngo 1.25.0\n\n" +
			"require example.com/m v0.0.0\n\nreplace example.com/m => ../..\n",
	}
}

// packOf packs what is committed in dir.
func packOf(t *testing.T, dir, version string) (string, error) {
	t.Helper()
	c, err := head(t.Context(), dir)
	require.NoError(t, err)
	proxy := t.TempDir()
	_, err = c.pack(proxy, version)
	return proxy, err
}

func TestPack_WhatUsersGet(t *testing.T) {
	dir := repository(t, small())
	put(t, filepath.Join(dir, "uncommitted.go"), "package m\n")
	put(t, filepath.Join(dir, "a.go"), "package changed\n")
	proxy, err := packOf(t, dir, "v0.1.0")
	require.NoError(t, err)

	root := filepath.Join(proxy, "example.com/m/@v")
	require.Equal(t, map[string]string{
		"example.com/m@v0.1.0/go.mod":          small()["go.mod"],
		"example.com/m@v0.1.0/LICENSE":         "yours",
		"example.com/m@v0.1.0/a.go":            "package m\n",
		"example.com/m@v0.1.0/pdcompat/doc.go": "package pdcompat\n",
	}, unzip(t, filepath.Join(root, "v0.1.0.zip")))

	nested := filepath.Join(proxy, "example.com/m/pdcompat/n/@v")
	mod := "module example.com/m/pdcompat/n\n\ngo 1.25.0\n\nrequire example.com/m v0.1.0\n"
	require.Equal(t, map[string]string{
		"example.com/m/pdcompat/n@v0.1.0/go.mod":  mod,
		"example.com/m/pdcompat/n@v0.1.0/LICENSE": "yours",
		"example.com/m/pdcompat/n@v0.1.0/n.go":    "package n\n",
		"example.com/m/pdcompat/n@v0.1.0/x/x.s":   "",
	}, unzip(t, filepath.Join(nested, "v0.1.0.zip")))
	text, err := os.ReadFile(filepath.Join(nested, "v0.1.0.mod"))
	require.NoError(t, err)
	require.Equal(t, mod, string(text))
	require.NoDirExists(t, filepath.Join(proxy, "example.com/m/bench"))
}

func TestPack_ListsEachVersionOnce(t *testing.T) {
	c, err := head(t.Context(), repository(t, small()))
	require.NoError(t, err)
	proxy := t.TempDir()
	for _, version := range []string{"v0.1.0", "", "v0.1.0"} {
		_, err := c.pack(proxy, version)
		require.NoError(t, err)
	}
	list, err := os.ReadFile(filepath.Join(proxy, "example.com/m/@v/list"))
	require.NoError(t, err)
	require.Equal(t, "v0.1.0\n"+c.pseudoVersion()+"\n", string(list))
}

// What would make users get something else than what is tested is refused.
func TestPack_Refuses(t *testing.T) {
	for _, tt := range []struct{ name, version, more, want string }{
		{"version", "0.1.0", "", "no version"},
		{"short version", "v1", "", "no version"},
		{"replacement of another's", "v0.1.0", "replace example.com/x => ../x", "replaces example.com/x"},
		{"exclusion", "v0.1.0", "exclude example.com/x v1.0.0", "excludes example.com/x"},
		{"module that is ours alone", "v0.1.0", "require example.com/m/bench v0.0.0", "not published"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := small()
			files["pdcompat/n/go.mod"] += tt.more + "\n"
			_, err := packOf(t, repository(t, files), tt.version)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestRequire_AllModulesAndNothingElse(t *testing.T) {
	files := small()
	files["pdcompat/n/newer.mod"] = files["pdcompat/n/go.mod"]
	files["bench/go.mod"] += "\nrequire (\n\texample.com/m v0.0.0 // indirect\n\texample.com/x v0.0.0\n)\n"
	dir := repository(t, files)
	changed, err := requireAll(t.Context(), dir, "v0.1.0")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"bench/go.mod", "pdcompat/n/go.mod", "pdcompat/n/newer.mod"}, changed)
	for name, before := range files {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, strings.ReplaceAll(before, "example.com/m v0.0.0", "example.com/m v0.1.0"), string(text), name)
	}
	changed, err = requireAll(t.Context(), dir, "v0.1.0")
	require.NoError(t, err)
	require.Empty(t, changed)
}

// unzip returns the files of an archive by their names.
func unzip(t *testing.T, name string) map[string]string {
	t.Helper()
	r, err := zip.OpenReader(name)
	require.NoError(t, err)
	defer r.Close()
	files := make(map[string]string)
	for _, f := range r.File {
		text, err := (&commit{files: r.File}).read(f.Name)
		require.NoError(t, err)
		files[f.Name] = string(text)
	}
	return files
}
