package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/tsoring/tso/integration/pdcluster"
)

// groupProcess is the process of a group of clients: the same program, which finds out from
// its environment what it is.
type groupProcess struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Reader
}

// startGroup starts the process of a group. Who starts it closes it.
func startGroup(order groupOrder) (*groupProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	text, err := json.Marshal(order)
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	p := &groupProcess{command: exec.Command(self)}
	p.command.Env = append(os.Environ(), groupEnv+"="+string(text))
	p.command.Stderr = os.Stderr
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	p.answers = bufio.NewReader(stdout)
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	return p, nil
}

// ask asks the group a question. The group is of no more use once ctx has ended before it
// has answered.
func (p *groupProcess) ask(ctx context.Context, question string, answer any) error {
	kill := context.AfterFunc(ctx, func() { _ = p.command.Process.Kill() })
	defer kill()
	_, err := fmt.Fprintln(p.stdin, question)
	var line []byte
	if err == nil {
		line, err = p.answers.ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		return fmt.Errorf("faults: a group of clients, asked for %q: %w", question, errors.Join(err, ctx.Err()))
	}
	return nil
}

func (p *groupProcess) processorTime() (time.Duration, error) {
	return pdcluster.ProcessorTime(p.command.Process.Pid)
}

// close has the process end, and waits for it.
func (p *groupProcess) close() error {
	_ = p.stdin.Close() // it can only have ended
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("faults: a group of clients: %w", err)
	}
	return nil
}
