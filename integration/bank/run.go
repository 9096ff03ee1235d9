package bank

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Load says how much goes on at a bank.
type Load struct {
	// Tellers are the goroutines that transfer money, one transfer after the other.
	Tellers int
	// Transfers is how many all tellers together make; 0 for as many as they can until Stop.
	Transfers int64
	// Pause is from the beginning of a teller's transfer to that of the next, where that
	// is ready; 0 for none.
	Pause time.Duration
	// Audits is the time from one audit to the next; 0 for none but the last.
	Audits time.Duration
}

// Run is a bank at work.
type Run struct {
	bank    *Bank
	load    Load
	began   time.Time
	stopped chan struct{}
	tellers sync.WaitGroup
	auditor sync.WaitGroup
	begun   atomic.Int64 // transfers
	last    atomic.Int64 // when a transfer was last committed, since began

	mu     sync.Mutex
	result Result // guarded by mu
}

// Start sets a bank to work, until Stop or Wait, of which one is called, once.
func (b *Bank) Start(load Load) *Run {
	r := &Run{bank: b, load: load, stopped: make(chan struct{}), began: time.Now()}
	r.result.Messages = make(map[string]int)
	for i := range load.Tellers {
		r.tellers.Go(func() { r.transfer(i) })
	}
	if load.Audits > 0 {
		r.auditor.Go(r.audit)
	}
	return r
}

// Committed returns how long ago a transfer was last committed.
func (r *Run) Committed() time.Duration {
	return time.Since(r.began) - time.Duration(r.last.Load())
}

// Wait waits for all transfers of a load that says how many there are, and stops the run.
func (r *Run) Wait() Result {
	r.tellers.Wait()
	return r.Stop()
}

// Stop ends the work when all transactions that are under way have ended, audits a last
// time, and returns what has become of all.
func (r *Run) Stop() Result {
	close(r.stopped)
	r.tellers.Wait()
	took := time.Since(r.began)
	r.auditor.Wait()
	r.note(r.bank.Audit(context.Background()))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Took = took
	r.result.Silence = max(r.result.Silence, took-time.Duration(r.last.Load()))
	return r.result
}

// transfer is the work of a teller. Who has lost against another tries again at once.
func (r *Run) transfer(number int) {
	random := rand.New(rand.NewPCG(uint64(number), 0))
	accounts := len(r.bank.accounts)
	ready := r.stagger(number)
	pause := newPause(r.load.Pause)
	defer pause.stop()
	for ; ready && r.another(); ready = pause.wait(r.stopped) {
		from := random.IntN(accounts)
		to := (from + 1 + random.IntN(accounts-1)) % accounts
		for r.attempt(from, to, 1+random.Int64N(10)) {
		}
	}
}

// stagger has the tellers begin one after the other within a pause, so that they do not all
// come at once ever after. It returns false if the run is over before.
func (r *Run) stagger(number int) bool {
	timer := time.NewTimer(r.load.Pause * time.Duration(number) / time.Duration(r.load.Tellers))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stopped:
		return false
	}
}

// another reports whether there is one more transfer to make.
func (r *Run) another() bool {
	n := r.begun.Add(1)
	return r.load.Transfers == 0 || n <= r.load.Transfers
}

// attempt makes one transaction and reports whether it is worth another.
func (r *Run) attempt(from, to int, sum int64) (again bool) {
	start := time.Now()
	err := r.bank.Transfer(context.Background(), from, to, sum)
	end := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Durations = append(r.result.Durations, end.Sub(start))
	switch {
	case err == nil:
		r.result.Committed++
		r.commit(end)
	case r.bank.store.Conflict(err):
		r.result.Conflicts++
		return !r.ending()
	default:
		r.result.Failed++
		r.result.Messages[err.Error()]++
	}
	return false
}

// commit notes when a transfer was committed. It is called under mu.
func (r *Run) commit(at time.Time) {
	since := at.Sub(r.began)
	last := time.Duration(r.last.Swap(int64(since)))
	r.result.Silence = max(r.result.Silence, since-last)
}

func (r *Run) ending() bool {
	select {
	case <-r.stopped:
		return true
	default:
		return false
	}
}

func (r *Run) audit() {
	pause := newPause(r.load.Audits)
	defer pause.stop()
	for pause.wait(r.stopped) {
		r.note(r.bank.Audit(context.Background()))
	}
}

// note accounts for an audit.
func (r *Run) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.result.Audits++
	case errors.Is(err, ErrUnbalanced):
		r.result.Unbalanced++
		r.result.Messages[err.Error()]++
	default:
		r.result.Failed++
		r.result.Messages[err.Error()]++
	}
}

// pause keeps a pace.
type pause struct{ tick *time.Ticker }

func newPause(d time.Duration) pause {
	if d == 0 {
		return pause{}
	}
	return pause{time.NewTicker(d)}
}

// wait returns false when it is over.
func (p pause) wait(over <-chan struct{}) bool {
	if p.tick == nil {
		select {
		case <-over:
			return false
		default:
			return true
		}
	}
	select {
	case <-over:
		return false
	case <-p.tick.C:
		return true
	}
}

func (p pause) stop() {
	if p.tick != nil {
		p.tick.Stop()
	}
}
