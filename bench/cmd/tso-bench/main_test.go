package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/text"
	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/tsotest"
)

// asCommand makes the test binary be the command: signals are for processes.
const asCommand = "TSO_BENCH_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// execute runs the command in this process.
func execute(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, env(nil), &out, &errs)
	return code, out.String(), errs.String()
}

// keyLines are what a reader looks for.
var keyLines = []string{
	"timestamps/s", "RPCs", "timestamps/RPC", "latency p50", "latency p99", "latency max",
	"errors", "CPU/timestamp", "allocs/timestamp", "GC cycles", "passed", "calls checked", "for example", "UTC, logical",
}

func TestRun_OneSecond(t *testing.T) {
	for name, args := range map[string][]string{
		"calls":   nil,
		"futures": {"--async=10", "--callers=4"},
		"local":   {"--dc=dc-1", "--callers=4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t.Context(), append(args, "--duration=1s")...)
			require.Zero(t, code, stderr)
			require.Empty(t, stderr)
			for _, key := range keyLines {
				require.Contains(t, stdout, key)
			}
			require.Contains(t, stdout, "ts/s  p50", "a line each second")
			require.Contains(t, stdout, "embedded server")
			require.NotContains(t, stdout, "FAILED")
		})
	}
}

func TestRun_ServerElsewhere(t *testing.T) {
	server := tsotest.New(t)
	code, stdout, stderr := execute(t.Context(), "--pd="+server.URL(0), "--duration=100ms", "--callers=2", "--check=false")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "against PD at "+text.Host(server.URL(0)))
	require.Contains(t, stdout, "order check")
	require.Contains(t, stdout, "off")
	require.NotContains(t, stdout, "load generator, embedded server")
}

func TestRun_DuplicateFailsTheRun(t *testing.T) {
	server := tsotest.New(t)
	code, stdout, stderr := execute(t.Context(), "--impl=bare", "--pd="+server.URL(0), "--duration=100ms", "--callers=1")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "passed")

	// The bare stream believes everything.
	server.Script(func(tsotest.Request) tsotest.Reply {
		return tsotest.Reply{Edit: func(answer *pdpb.TsoResponse) {
			answer.Timestamp = &pdpb.Timestamp{Physical: 1, Logical: 7}
		}}
	})
	code, stdout, stderr = execute(t.Context(), "--impl=bare", "--pd="+server.URL(0), "--duration=100ms", "--callers=1")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, stdout, "FAILED")
	require.Contains(t, stderr, "out of order")
}

func TestRun_UnreachablePD(t *testing.T) {
	for _, name := range []string{"tso", "upstream", "bare"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t.Context(), "--pd=127.0.0.1:1", "--connect-timeout=100ms", "--impl="+name)
			require.Equal(t, cli.Failed, code)
			require.Equal(t, "looking for PD at 127.0.0.1:1, for up to 100ms\n", stdout)
			require.Contains(t, stderr, "tso-bench: no timestamp from PD at 127.0.0.1:1")
			require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		})
	}
}

func TestRun_SilentPD(t *testing.T) {
	for _, name := range []string{"tso", "upstream", "bare"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tsotest.New(t)
			server.Script(func(tsotest.Request) tsotest.Reply { return tsotest.Reply{Drop: true} })
			code, _, stderr := execute(t.Context(), "--pd="+server.URL(0), "--connect-timeout=200ms", "--impl="+name)
			require.Equal(t, cli.Failed, code)
			require.Contains(t, stderr, "within 200ms")
		})
	}
}

func TestRun_BadFlags(t *testing.T) {
	code, stdout, stderr := execute(t.Context(), "--callers=none")
	require.Equal(t, cli.Usage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "--callers")
	require.Contains(t, stderr, "--help")
}

func TestRun_Help(t *testing.T) {
	code, stdout, _ := execute(t.Context(), "--help")
	require.Zero(t, code)
	require.Contains(t, stdout, "--connect-timeout")
}

func TestMain_InterruptShowsTheTable(t *testing.T) {
	for name, sig := range map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, output := start(t, "--duration=0", "--callers=4")
			readUntil(t, output, "ts/s  p50")
			require.NoError(t, command.Process.Signal(sig))
			rest, err := io.ReadAll(output)
			require.NoError(t, err)
			require.NoError(t, command.Wait(), "exit code")
			for _, key := range keyLines {
				require.Contains(t, string(rest), key)
			}
			require.Contains(t, string(rest), "interrupted after")
		})
	}
}

func TestMain_SecondInterruptKills(t *testing.T) {
	server := tsotest.New(t)
	command, output := start(t, "--duration=0", "--callers=4", "--pd="+server.URL(0))
	readUntil(t, output, "ts/s  p50")
	// The last calls hang now, and the run waits for them a while.
	require.NoError(t, server.Hold())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	// Again and again: two signals that come at once are one.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "signal: interrupt")
			return
		case <-again.C:
			_ = command.Process.Signal(os.Interrupt) // it may have ended already
		}
	}
}

// start runs the command as a process. It is killed when the test ends.
func start(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), asCommand+"=1", "PD=", "DC=", "CALLERS=", "DURATION=")
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	return command, bufio.NewReader(stdout)
}

// readUntil reads lines until one holds the text.
func readUntil(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		if strings.Contains(line, text) {
			return
		}
	}
}
