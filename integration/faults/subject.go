package faults

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
)

const (
	// callersPerScope make a call each pauseOfCaller: enough to see a silence of a
	// few milliseconds, and little enough to leave the processors to PD, whose
	// elections are measured too.
	callersPerScope = 8
	pauseOfCaller   = 2 * time.Millisecond
)

// subject is a client under load, and what came of its calls.
type subject struct {
	name   string
	client client
	scopes []*scopeLoad

	clock    func() int64
	recorder *history.Recorder // of successful calls
	stopped  atomic.Bool
	running  sync.WaitGroup

	mu     sync.Mutex
	failed []failure // guarded by mu
}

// scopeLoad are the calls of one scope.
type scopeLoad struct {
	id   history.Scope
	dc   string
	last atomic.Int64 // when the latest successful call returned
}

// failure is a call that returned an error.
type failure struct {
	start, end int64
	err        error
}

func newSubject(name string, c client, dcs []string, clock func() int64) *subject {
	s := &subject{name: name, client: c, clock: clock, recorder: history.NewRecorder()}
	for i, dc := range dcs {
		s.scopes = append(s.scopes, &scopeLoad{id: history.Scope(i), dc: dc})
	}
	return s
}

// start begins the load.
func (s *subject) start() {
	for _, scope := range s.scopes {
		for range callersPerScope {
			log := s.recorder.NewLog(4096)
			s.running.Go(func() { s.call(scope, log) })
		}
	}
}

// call makes one call after another.
func (s *subject) call(scope *scopeLoad, log *history.Log) {
	tick := time.NewTicker(pauseOfCaller)
	defer tick.Stop()
	for ; !s.stopped.Load(); <-tick.C {
		start := s.clock()
		physical, logical, err := s.client.get(context.Background(), scope.dc)
		end := s.clock()
		if err != nil {
			s.mu.Lock()
			s.failed = append(s.failed, failure{start, end, err})
			s.mu.Unlock()
			continue
		}
		log.Add(history.Call{Start: start, End: end, T: checked(physical, logical), Scope: scope.id})
		scope.last.Store(end)
	}
}

// checked composes a timestamp. One that cannot be valid becomes 0, which no order
// permits.
func checked(physical, logical int64) uint64 {
	if physical <= 0 || logical < 0 || logical >= 1<<18 {
		return 0
	}
	return tso.ComposeTS(physical, logical)
}

// stop ends the load and the client. Calls that hang end with the client.
func (s *subject) stop() {
	s.stopped.Store(true)
	s.client.close()
	s.running.Wait()
}

// served reports whether a call of each scope has succeeded since.
func (s *subject) served(since int64) bool {
	return !slices.ContainsFunc(s.scopes, func(scope *scopeLoad) bool { return scope.last.Load() < since })
}
