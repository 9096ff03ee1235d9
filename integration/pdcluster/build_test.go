package pdcluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuild_AtTheSameTime(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			path, err := Build(t.Context())
			if err == nil {
				err = exec.Command(path, "-V").Run()
			}
			if err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
}

func TestBuild_TakesAReadyServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server")
	t.Setenv(serverEnv, path)
	_, err := Build(t.Context())
	require.ErrorContains(t, err, serverEnv)
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	_, err = Build(t.Context())
	require.ErrorContains(t, err, "not executable")
	require.NoError(t, os.Chmod(path, 0o755))
	got, err := Build(t.Context())
	require.NoError(t, err)
	require.Equal(t, path, got)
}

func TestPublish_ReplacesOnlyWhatChanged(t *testing.T) {
	built := filepath.Join(t.TempDir(), "built")
	path := filepath.Join(t.TempDir(), "server")
	var before os.FileInfo
	for i, content := range []string{"one", "one", "three"} {
		if i != 1 {
			require.NoError(t, os.WriteFile(built, []byte(content), 0o755))
		}
		require.NoError(t, publish(built, path))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
		after, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, i == 1, before != nil && os.SameFile(before, after))
		before = after
	}
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestReservePorts_NoneTwice(t *testing.T) {
	seen := make(map[int]bool)
	for range 10 {
		p := new(ports)
		require.NoError(t, p.reserve(6))
		defer p.release()
		for _, n := range p.numbers {
			require.False(t, seen[n])
			require.Less(t, n, 32768)
			seen[n] = true
		}
	}
	require.Len(t, seen, 60)
}
