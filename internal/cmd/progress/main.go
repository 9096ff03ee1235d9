// Command progress reads what go test -json writes and shows what a person wants of it:
// a line per package, all that a failed test has written, and, so that it is never silent
// for long, how far it is.
//
//	go test -json ./... | progress
package main

import (
	"bufio"
	"io"
	"os"
	"time"
)

// silence is for how long nothing is written at most.
const silence = 30 * time.Second

func main() {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		read(os.Stdin, lines)
	}()
	show(os.Stdout, lines, time.NewTicker(silence).C)
}

// read sends every line of r, however long.
func read(r io.Reader, lines chan<- []byte) {
	buffered := bufio.NewReader(r)
	for {
		line, err := buffered.ReadBytes('\n')
		if len(line) > 0 {
			lines <- line
		}
		if err != nil {
			return // the end; the exit status is go test's own business
		}
	}
}

// show writes what lines tell until there are no more, and how far they are at a tick
// before which nothing has been written since the last.
func show(w io.Writer, lines <-chan []byte, ticks <-chan time.Time) {
	r := report{w: w, running: make(map[test]*state), now: time.Now}
	for {
		select {
		case line, more := <-lines:
			if !more {
				r.rest()
				return
			}
			r.line(line)
		case <-ticks:
			r.tick()
		}
	}
}
