package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// groupEnv tells a process that it is a group of clients, and which.
const groupEnv = "TSO_FAULTS_GROUP"

// groupOrder is what a group is to do.
type groupOrder struct {
	Client string // the kind
	URLs   []string
	Count  int
	Pause  time.Duration // between two calls of a client; 0 if it is not called
}

// What a group is asked, a line each, and answers with a line of JSON.
const (
	askOpened = "opened" // answers {} once all its clients are open
	askServed = "served" // answers with a servedSince
	askReport = "report" // answers with a groupReport
)

// servedSince says since when all clients of a group have been served: when the one that has
// waited longest last was, 0 if it never was. Those that are not called miss nothing.
type servedSince struct{ Since int64 }

// groupReport is what a group has done since the report before.
type groupReport struct {
	Calls  []groupCall
	Counts counts
}

// groupCall is a call that has returned. Times are of the machine's clock, which all
// processes share.
type groupCall struct {
	Client     int
	Start, End int64
	T          uint64 `json:",omitempty"`
	Error      string `json:",omitempty"`
}

// PlayGroup does what the process has been started for if it is a group of a crowd's
// clients, and reports whether it was. It belongs at the beginning of main, and of the
// TestMain of tests that run crowds.
func PlayGroup() (isGroup bool, err error) {
	text := os.Getenv(groupEnv)
	if text == "" {
		return false, nil
	}
	var order groupOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return true, fmt.Errorf("faults: %s: %w", groupEnv, err)
	}
	return true, order.play(os.Stdin, os.Stdout)
}

// play answers questions until there are no more, as when the process has ended that asks.
func (o groupOrder) play(questions io.Reader, answers io.Writer) error {
	g := &group{order: o, counter: newCounter()}
	if err := g.open(); err != nil {
		return err
	}
	lines, answer := bufio.NewScanner(questions), json.NewEncoder(answers)
	for lines.Scan() {
		var a any = struct{}{}
		switch lines.Text() {
		case askServed:
			a = g.served()
		case askReport:
			a = g.report()
		}
		if err := answer.Encode(a); err != nil {
			return err
		}
	}
	g.stop()
	return lines.Err()
}

// group is a number of clients in a process of their own.
type group struct {
	order   groupOrder
	counter *counter
	members []*crowdClient
	stopped atomic.Bool
	running sync.WaitGroup
}

// crowdClient is a client and its only caller.
type crowdClient struct {
	client client
	number int
	last   atomic.Int64 // when the latest successful call returned

	mu    sync.Mutex
	calls []groupCall // guarded by mu; since the report before
}

// open opens all clients at once, and starts their callers, which begin one after the other.
func (g *group) open() error {
	g.members = make([]*crowdClient, g.order.Count)
	failed := make([]error, g.order.Count)
	var opening sync.WaitGroup
	for i := range g.members {
		opening.Go(func() {
			c, err := open(g.order.Client, g.order.URLs, Options{counter: g.counter}, zap.NewNop())
			g.members[i], failed[i] = &crowdClient{client: c, number: i}, err
		})
	}
	opening.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if g.order.Pause == 0 {
		return nil
	}
	for i, c := range g.members {
		delay := g.order.Pause * time.Duration(i) / time.Duration(len(g.members))
		g.running.Go(func() { c.call(g, delay) })
	}
	return nil
}

// call makes one call after another.
func (c *crowdClient) call(g *group, delay time.Duration) {
	_ = wait(context.Background(), delay)
	tick := time.NewTicker(g.order.Pause)
	defer tick.Stop()
	for ; !g.stopped.Load(); <-tick.C {
		call := groupCall{Client: c.number, Start: now()}
		physical, logical, err := c.client.get(context.Background(), "")
		call.End = now()
		if err != nil {
			call.Error = err.Error()
		} else {
			call.T = checked(physical, logical)
			c.last.Store(call.End)
		}
		c.mu.Lock()
		c.calls = append(c.calls, call)
		c.mu.Unlock()
	}
}

// now is the clock of a crowd, which all processes of the machine share.
func now() int64 { return time.Now().UnixNano() }

func (g *group) served() servedSince {
	s := servedSince{math.MaxInt64}
	if g.order.Pause == 0 {
		return s
	}
	for _, c := range g.members {
		s.Since = min(s.Since, c.last.Load())
	}
	return s
}

func (g *group) report() groupReport {
	r := groupReport{Counts: g.counter.take()}
	for _, c := range g.members {
		c.mu.Lock()
		r.Calls = append(r.Calls, c.calls...)
		c.calls = nil
		c.mu.Unlock()
	}
	return r
}

func (g *group) stop() {
	g.stopped.Store(true)
	var closing sync.WaitGroup
	for _, c := range g.members {
		closing.Go(c.client.close)
	}
	closing.Wait()
	g.running.Wait()
}
