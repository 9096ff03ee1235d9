package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// serverEnv names the environment variable that may hold the path of a ready
// PD server, which is then used as it is.
const serverEnv = "TSO_PD_SERVER"

// serverPackage is PD's main package. The dashboard is left out by a build tag:
// it is large, and its assets are not in the module.
const serverPackage = "github.com/tikv/pd/cmd/pd-server"

// Build returns the path of the PD server, which it builds if need be: up to
// two minutes and some 400 MB of modules the first time, under a second when
// nothing has changed. The environment variable TSO_PD_SERVER may name a ready
// binary instead.
//
// Several processes may call it at once. The path is only ever replaced by a
// rename, so that nobody starts half a binary and nobody writes to one that runs.
func Build(ctx context.Context) (path string, err error) {
	if ready := os.Getenv(serverEnv); ready != "" {
		return checkExecutable(ready)
	}
	integration, err := moduleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(filepath.Dir(integration), ".bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("pdcluster: %w", err)
	}
	path = filepath.Join(bin, "pd-server")
	return path, buildTo(ctx, filepath.Join(integration, "pdserver"), path)
}

// buildTo builds the module in dir and puts the binary at path. One build runs
// at a time. The go command builds to a file that nobody starts and that stays:
// when that is up to date it does not link again, which takes 5 s.
func buildTo(ctx context.Context, dir, path string) error {
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	built := path + ".built"
	// -mod=readonly, whatever GOFLAGS says: a test must not edit go.mod. GOWORK is
	// off because a workspace would mix the server's modules with the client's.
	build := exec.CommandContext(ctx, "go", "build", "-mod=readonly",
		"-tags", "without_dashboard", "-o", built, serverPackage)
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("pdcluster: build of %s: %w\n%s", serverPackage, err, out)
	}
	if err := publish(built, path); err != nil {
		return fmt.Errorf("pdcluster: %w", err)
	}
	return nil
}

// publish copies a file to path under another name and renames, unless path is
// such a copy already, which its time and size tell.
func publish(built, path string) error {
	want, err := os.Stat(built)
	if err != nil {
		return err
	}
	if have, err := os.Stat(path); err == nil &&
		have.Size() == want.Size() && have.ModTime().Equal(want.ModTime()) {
		return nil
	}
	temp := path + ".tmp"
	defer os.Remove(temp) // fails after the rename, and need not succeed
	if err := copyFile(built, temp); err != nil {
		return err
	}
	if err := os.Chtimes(temp, time.Time{}, want.ModTime()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// moduleRoot finds the integration module: by this source file if it is where
// it was when it was compiled, otherwise (-trimpath) by asking the go command.
func moduleRoot() (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok {
		root := filepath.Dir(filepath.Dir(file))
		if _, err := os.Stat(filepath.Join(root, "pdserver", "go.mod")); err == nil {
			return root, nil
		}
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/tsoring/tso/integration").Output()
	root := strings.TrimSpace(string(out))
	if err != nil || root == "" {
		return "", errors.New("pdcluster: the sources of the integration module are not here; set " +
			serverEnv + " to a PD server binary")
	}
	return root, nil
}

func checkExecutable(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("pdcluster: %s: %w", serverEnv, err)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return "", fmt.Errorf("pdcluster: %s: %s is not executable", serverEnv, path)
	}
	return path, nil
}
