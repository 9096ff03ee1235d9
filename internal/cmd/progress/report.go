package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// test is the name of a test in a package.
type test struct{ pkg, name string }

// state is a test that has not ended.
type state struct {
	began  time.Time
	output strings.Builder
}

// report writes to w what events tell.
type report struct {
	w       io.Writer
	running map[test]*state
	ended   int // tests, also those within others
	wrote   bool
	now     func() time.Time
}

// line takes in one line. What is no event is shown as it is.
func (r *report) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		r.write(string(line))
		return
	}
	t := test{e.Package, e.Test}
	switch e.Action {
	case "run":
		r.running[t] = &state{began: r.now()}
	case "output", "build-output":
		r.output(t, e.Output)
	case "pass", "skip":
		r.end(t, false)
	case "fail":
		r.end(t, true)
	}
}

// output keeps what a test writes until it is known what comes of it, and shows the rest.
func (r *report) output(t test, text string) {
	s := r.running[t]
	switch {
	case strings.HasPrefix(text, "=== "): // RUN, PAUSE, CONT, NAME
	case s != nil:
		s.output.WriteString(text)
	case text != "PASS\n":
		r.write(text)
	}
}

// end ends a test, or with a package all that it has left unfinished.
func (r *report) end(t test, failed bool) {
	if t.name == "" {
		for other := range r.running {
			if other.pkg == t.pkg {
				r.end(other, failed)
			}
		}
		return
	}
	if s := r.running[t]; s != nil && failed {
		r.write(s.output.String())
	}
	delete(r.running, t)
	r.ended++
}

// tick tells how far it is, unless something has been written since the last tick.
func (r *report) tick() {
	if !r.wrote {
		r.write(r.progress())
	}
	r.wrote = false
}

func (r *report) progress() string {
	if len(r.running) == 0 {
		return fmt.Sprintf("... %d tests done; building\n", r.ended)
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(r.running)), func(a, b test) int {
		return r.running[a].began.Compare(r.running[b].began)
	})
	return fmt.Sprintf("... %d tests done; %s of %s for %v\n", r.ended, oldest.name, oldest.pkg,
		r.now().Sub(r.running[oldest].began).Round(time.Second))
}

// rest shows what tests have written that never ended.
func (r *report) rest() {
	for _, s := range r.running {
		r.write(s.output.String())
	}
}

func (r *report) write(text string) {
	if text != "" {
		r.wrote = true
		_, _ = io.WriteString(r.w, text)
	}
}
