package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/integration/cli"
)

func TestRun_WritesProfiles(t *testing.T) {
	dir := t.TempDir()
	var args []string
	var files []string
	for _, name := range []string{"cpuprofile", "memprofile", "mutexprofile", "blockprofile"} {
		file := filepath.Join(dir, name)
		files, args = append(files, file), append(args, "--"+name+"="+file)
	}
	code, _, stderr := execute(t.Context(), append(args, "--duration=300ms", "--callers=8")...)
	require.Zero(t, code, stderr)
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		unpacked, err := gzip.NewReader(f)
		require.NoError(t, err)
		data, err := io.ReadAll(unpacked)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		// The calls of gRPC are in the profile only if it is about the run.
		require.True(t, bytes.Contains(data, []byte("google.golang.org/grpc")), file)
	}
}

// The rates are variables of the process: the race detector tells when a run that
// takes no profiles touches them.
func TestProfiling_NoneLeavesTheProcessAlone(t *testing.T) {
	var runs sync.WaitGroup
	for range 2 {
		runs.Go(func() {
			run, err := profiles{}.start(io.Discard)
			if assert.NoError(t, err) {
				run.close()
			}
		})
	}
	runs.Wait()
}

func TestProfiling_RestoresTheRates(t *testing.T) {
	memory, mutex := runtime.MemProfileRate, runtime.SetMutexProfileFraction(-1)
	run, err := profiles{mem: "m", mutex: "x", block: "b"}.start(io.Discard)
	require.NoError(t, err)
	require.Equal(t, 1, runtime.MemProfileRate)
	require.Equal(t, 1, runtime.SetMutexProfileFraction(-1))
	run.close()
	require.Equal(t, memory, runtime.MemProfileRate)
	require.Equal(t, mutex, runtime.SetMutexProfileFraction(-1))
}

func TestRun_ProfileThatCannotBeWritten(t *testing.T) {
	for _, name := range []string{"cpuprofile", "memprofile"} {
		code, _, stderr := execute(t.Context(), "--"+name+"="+filepath.Join(t.TempDir(), "no", "such"), "--duration=10ms")
		require.Equal(t, cli.Failed, code)
		require.Contains(t, stderr, "profile")
	}
	code, _, stderr := execute(t.Context(), "--http=nowhere", "--duration=10ms")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, stderr, "--http")
}

func TestRun_ServesLiveProfiles(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	go func() {
		run(ctx, []string{"--http=127.0.0.1:0", "--duration=0", "--callers=2"}, env(nil), writer, io.Discard)
		_ = writer.Close()
	}()
	url := regexp.MustCompile(`http://\S+/debug/pprof/`)
	var out []byte
	for buffer := make([]byte, 1024); url.Find(out) == nil; {
		n, err := reader.Read(buffer)
		require.NoError(t, err)
		out = append(out, buffer[:n]...)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	client := http.Client{Timeout: 10 * time.Second}
	// The address is there before the load is, and a caller is now and then
	// between two calls.
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		answer, err := client.Get(string(url.Find(out)) + "goroutine?debug=1")
		require.NoError(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Contains(t, string(text), "GetTS")
	}, 30*time.Second, 10*time.Millisecond)
}
