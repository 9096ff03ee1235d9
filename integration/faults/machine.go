package faults

import (
	"sync"
	"time"
)

// machine is a goroutine that wants to run as often as each caller does, and nothing
// else. When it could not, no client could have served.
type machine struct {
	times   []int64
	ending  chan struct{}
	running sync.WaitGroup
}

func watchMachine(clock func() int64) *machine {
	m := &machine{ending: make(chan struct{})}
	m.running.Go(func() {
		tick := time.NewTicker(pauseOfCaller)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.times = append(m.times, clock())
			case <-m.ending:
				return
			}
		}
	})
	return m
}

func (m *machine) stop() {
	close(m.ending)
	m.running.Wait()
}

// longest returns the longest that it waited within a window.
func (m *machine) longest(window span) (longest time.Duration) {
	for _, s := range silences(m.times, window, 0) {
		longest = max(longest, s.length())
	}
	return longest
}
