package pdcluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// orphanEnv makes TestProcess_DiesWithItsParent play the parent, with its
// child's output in the file that it names.
const orphanEnv = "TSO_PDCLUSTER_ORPHAN"

// orphans is how many children that parent has: more than one, since one may
// have been started by the first thread, which never ends.
const orphans = 3

func TestProcess_DiesWithItsParent(t *testing.T) {
	if output := os.Getenv(orphanEnv); output != "" {
		beParent(t, output)
		return
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestProcess_DiesWithItsParent$")
	parent.Env = append(os.Environ(), orphanEnv+"="+filepath.Join(t.TempDir(), "output"))
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	t.Cleanup(func() { _ = parent.Process.Kill() })
	lines := bufio.NewReader(stdout)
	children := make([]int, orphans)
	for i := range children {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		children[i], err = strconv.Atoi(strings.TrimSpace(line))
		require.NoError(t, err)
	}
	for _, child := range children {
		require.True(t, alive(child), "it must outlive the thread that asked for it")
	}
	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, child := range children {
		require.NoError(t, poll(ctx, func(context.Context) error {
			if alive(child) {
				return fmt.Errorf("process %d still lives", child)
			}
			return nil
		}))
	}
}

// beParent starts children, each from a thread that ends right away, waits until
// those threads are gone, tells the children's numbers, and waits to be killed.
func beParent(t *testing.T, output string) {
	started := make(chan startedBy, orphans)
	for range orphans {
		go func() {
			runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
			p, err := startProcess("/bin/sleep", []string{"600"}, output)
			if err != nil {
				t.Errorf("%v", err)
			}
			started <- startedBy{p, syscall.Gettid()}
		}()
	}
	var children []startedBy
	for range orphans {
		children = append(children, <-started)
	}
	for _, c := range children {
		if c.process == nil {
			return
		}
		waitForThread(t, c.thread)
		fmt.Println(c.process.cmd.Process.Pid)
	}
	<-children[0].process.done
}

// startedBy is a process and the thread that asked for it.
type startedBy struct {
	process *process
	thread  int
}

// waitForThread waits until a thread of this process has ended. The first one
// never does, Go only parks it.
func waitForThread(t *testing.T, thread int) {
	if thread == os.Getpid() {
		return
	}
	err := poll(t.Context(), func(context.Context) error {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread)); err == nil {
			return fmt.Errorf("thread %d still lives", thread)
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v", err)
	}
}

// alive tells whether a process runs; one that is dead but not reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}

// What a server has spent counts on when its process is killed, and when another runs.
func TestServer_ProcessorTime(t *testing.T) {
	s := &Server{dir: t.TempDir(), cluster: &Cluster{binary: "/bin/sh"}, args: []string{"-c", "while :; do :; done"}}
	t.Cleanup(func() { _ = s.close() })
	const enough = 50 * time.Millisecond
	var before time.Duration
	for range 2 {
		require.NoError(t, s.Launch())
		begun, err := s.ProcessorTime()
		require.NoError(t, err)
		require.GreaterOrEqual(t, begun, before)
		require.NoError(t, poll(t.Context(), func(context.Context) error {
			spent, err := s.ProcessorTime()
			if err == nil && spent < before+enough {
				err = fmt.Errorf("only %v after %v", spent, before)
			}
			return err
		}))
		running, err := s.ProcessorTime()
		require.NoError(t, err)
		require.NoError(t, s.Kill())
		dead, err := s.ProcessorTime()
		require.NoError(t, err)
		require.GreaterOrEqual(t, dead, running-10*time.Millisecond, "the kernel counts the dead's in ticks")
		require.GreaterOrEqual(t, dead, before+enough/2)
		before = dead
	}
}
