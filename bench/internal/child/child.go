// Package child runs parts of a benchmark in processes of their own: what stands
// for the network or for a server must not share the runtime that is measured.
//
// A child is the same program, which finds its role in the environment. It says
// one line when it is ready, and ends when its parent does.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// variable tells a process that it is a child, and of what kind.
const variable = "TSO_BENCH_CHILD"

// Role is what a child does. It calls ready once, with the line for the parent, and
// returns when stop is closed.
type Role func(args []string, ready func(line string), stop <-chan struct{}) error

// task is a role with its arguments, as it travels in the environment.
type task struct {
	Role string
	Args []string
}

// Run plays the role that the process has been started for, and reports whether
// there is one. The program does nothing else then. It belongs at the beginning of
// main, and of the TestMain of tests that start children.
func Run(roles map[string]Role) (isChild bool, err error) {
	text := os.Getenv(variable)
	if text == "" {
		return false, nil
	}
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return true, fmt.Errorf("child: %s: %w", variable, err)
	}
	play, ok := roles[t.Role]
	if !ok {
		return true, fmt.Errorf("child: no role is called %q", t.Role)
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the parent closes it, or has ended
	}()
	ready := func(line string) { fmt.Fprintln(os.Stdout, line) }
	return true, play(t.Args, ready, stop)
}

// Process is a child that runs.
type Process struct {
	// Line is what it has said.
	Line string

	command *exec.Cmd
	stdin   io.Closer
	close   func() error
}

// Start starts a child and waits for its line. The child outlives ctx.
func Start(ctx context.Context, role string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	text, err := json.Marshal(task{role, args})
	if err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	p := &Process{command: exec.Command(self)}
	p.close = sync.OnceValue(p.closeOnce)
	p.command.Env = append(os.Environ(), variable+"="+string(text))
	p.command.Stderr = os.Stderr
	if err := p.start(ctx); err != nil {
		return nil, fmt.Errorf("child: %s: %w", role, err)
	}
	return p, nil
}

func (p *Process) start(ctx context.Context) error {
	var err error
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.command.Start(); err != nil {
		return err
	}
	kill := context.AfterFunc(ctx, func() { _ = p.command.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if !kill() {
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, p.Close())
	}
	p.Line = strings.TrimSpace(line)
	return nil
}

// Close tells the child to end and waits for it. A second call returns what the
// first has.
func (p *Process) Close() error { return p.close() }

func (p *Process) closeOnce() error {
	return errors.Join(p.stdin.Close(), p.command.Wait())
}
