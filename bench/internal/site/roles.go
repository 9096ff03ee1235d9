package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tsoring/tso/bench/internal/child"
	"github.com/tsoring/tso/bench/internal/delay"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/tsotest"
)

// The roles of the processes that sites consist of.
const (
	roleServer = "tsotest" // arguments: number of dc-locations, latency
	rolePath   = "path"    // arguments: address to lead to, delay each way
	roleIdle   = "idle"    // arguments: see idle
)

// RunChild plays a role if this process has been started for one, and reports whether
// it has been: see child.Run.
func RunChild() (isChild bool, err error) {
	return child.Run(map[string]child.Role{roleServer: serve, rolePath: lead, roleIdle: idle})
}

var errArguments = errors.New("wrong arguments")

func serve(args []string, ready func(string), stop <-chan struct{}) error {
	if len(args) != 2 {
		return errArguments
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	latency, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	server, err := tsotest.Start(serverOptions(n)...)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.SetLatency(latency); err != nil {
		return err
	}
	ready(strings.Join(server.URLs(), ","))
	<-stop
	return nil
}

func serverOptions(locations int) []tsotest.Option {
	if locations == 0 {
		return nil
	}
	var dcs []string
	for i := range locations {
		dcs = append(dcs, fmt.Sprintf("dc-%d", i+1))
	}
	return []tsotest.Option{tsotest.WithMembers(locations), tsotest.WithDCs(dcs...)}
}

func lead(args []string, ready func(string), stop <-chan struct{}) error {
	if len(args) != 2 {
		return errArguments
	}
	oneWay, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	// It sleeps in system calls, and each of them takes a processor of Go's for a while:
	// with many of them nobody waits.
	runtime.GOMAXPROCS(16)
	path, err := delay.Listen(args[0], oneWay)
	if err != nil {
		return err
	}
	defer path.Close()
	ready(path.Addr())
	<-stop
	return nil
}

// idle measures this process, in which there is nothing but a client that has been
// used once. Its argument is an idleTask.
func idle(args []string, ready func(string), _ <-chan struct{}) error {
	if len(args) != 1 {
		return errArguments
	}
	var task idleTask
	if err := json.Unmarshal([]byte(args[0]), &task); err != nil {
		return err
	}
	measured, err := task.measure()
	if err != nil {
		return err
	}
	line, err := json.Marshal(measured)
	if err != nil {
		return err
	}
	ready(string(line))
	return nil
}

// idleTask says which client is to be idle, where and for how long.
type idleTask struct {
	Rival    scenario.Rival
	Addrs    []string
	Duration time.Duration
}
