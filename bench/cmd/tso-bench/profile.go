package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	runtimepprof "runtime/pprof"
	"time"

	"github.com/spf13/pflag"
)

// profiles says which profiles of the run to write, and where.
type profiles struct {
	cpu, mem, mutex, block string // files; empty means none
	http                   string // where to serve live profiles; empty means nowhere
}

func (p *profiles) flags(f *pflag.FlagSet) {
	f.StringVar(&p.cpu, "cpuprofile", "", "write a profile of the processor time to this `file`")
	f.StringVar(&p.mem, "memprofile", "", "write a profile of all allocations to this `file`: every one is noted, which costs time")
	f.StringVar(&p.mutex, "mutexprofile", "", "write a profile of the waits for locks to this `file`")
	f.StringVar(&p.block, "blockprofile", "", "write a profile of all waits to this `file`")
	f.StringVar(&p.http, "http", "", "serve live profiles at this `address`, such as 127.0.0.1:6060")
}

// profiling is the profiles being taken.
type profiling struct {
	profiles
	cpuFile *os.File
	server  *http.Server
	restore []func() // the rates as they were
}

// readTimeout bounds a request's header: there is no reason to be slow.
const readTimeout = 10 * time.Second

// start begins to take the profiles. What has been found out before, while the client
// connected, is part of those of memory and waits, and does not count.
func (p profiles) start(out io.Writer) (*profiling, error) {
	run := &profiling{profiles: p}
	run.setRates()
	if err := run.serve(out); err != nil {
		run.close()
		return nil, err
	}
	if p.cpu == "" {
		return run, nil
	}
	var err error
	if run.cpuFile, err = os.Create(p.cpu); err == nil {
		err = runtimepprof.StartCPUProfile(run.cpuFile)
	}
	if err != nil {
		run.close()
		return nil, fmt.Errorf("--cpuprofile: %w", err)
	}
	return run, nil
}

// setRates has the runtime note what it does not note by itself: without the flags
// nothing costs anything. The rates are the process's, so that restore puts back only
// what has been set: runs that take no profiles can go on side by side.
func (p *profiling) setRates() {
	if p.mem != "" {
		before := runtime.MemProfileRate
		runtime.MemProfileRate = 1
		p.restore = append(p.restore, func() { runtime.MemProfileRate = before })
	}
	if p.mutex != "" || p.http != "" {
		before := runtime.SetMutexProfileFraction(1)
		p.restore = append(p.restore, func() { runtime.SetMutexProfileFraction(before) })
	}
	if p.block != "" {
		runtime.SetBlockProfileRate(1)
		p.restore = append(p.restore, func() { runtime.SetBlockProfileRate(0) })
	}
}

func (p *profiling) serve(out io.Writer) error {
	if p.http == "" {
		return nil
	}
	listener, err := net.Listen("tcp", p.http)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: readTimeout}
	go func() { _ = p.server.Serve(listener) }() // until close
	fmt.Fprintf(out, "live profiles: http://%s/debug/pprof/\n", listener.Addr())
	return nil
}

// write ends the profiles and writes them.
func (p *profiling) write() error {
	var errs []error
	if p.cpuFile != nil {
		runtimepprof.StopCPUProfile()
		errs = append(errs, p.cpuFile.Close())
		p.cpuFile = nil
	}
	if p.mem != "" {
		runtime.GC() // allocations are in the profile only when a collection has seen them
	}
	for _, one := range []struct{ file, profile string }{{p.mem, "allocs"}, {p.mutex, "mutex"}, {p.block, "block"}} {
		if one.file != "" {
			errs = append(errs, writeProfile(one.file, one.profile))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

func writeProfile(file, profile string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(runtimepprof.Lookup(profile).WriteTo(f, 0), f.Close())
}

// close ends what has been started, and writes nothing.
func (p *profiling) close() {
	for _, restore := range p.restore {
		restore()
	}
	if p.server != nil {
		_ = p.server.Close() // the listener is all there is to close
	}
	if p.cpuFile != nil {
		runtimepprof.StopCPUProfile()
		p.cpuFile.Close()
	}
}
