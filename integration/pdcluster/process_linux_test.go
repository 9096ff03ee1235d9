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
