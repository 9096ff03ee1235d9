package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/internal/history"
)

// Config says what the callers of a Run do.
type Config struct {
	// Client is what they call.
	Client impl.Client
	// Callers is how many goroutines call at once.
	Callers int
	// Window, if not 0, has each caller keep that many futures outstanding,
	// and wait for the oldest. The client must be an impl.Async. A latency is
	// then the time from GetTSAsync until Wait returned.
	Window int
	// Cancelable gives each caller a context of its own that can be cancelled,
	// as a server has for each request; otherwise it is context.Background.
	Cancelable bool
	// Check, if not nil, is told of every call. It costs each of them some
	// additions to memory that all callers share, and a lock that a sixteenth
	// of them share.
	Check *history.OnlineScope
}

// Run is a load on a client, from Start until Stop. Start comes first; the other
// methods may be called from any goroutine.
type Run struct {
	cfg      Config
	began    time.Time
	recorder *recorder
	faults   faults
	creation creationFaults

	callers  []*caller
	stopping atomic.Bool
	cancel   context.CancelFunc // of the callers' contexts
	ended    sync.WaitGroup     // the callers
	stop     sync.Once
}

// New returns a load that has all the memory it needs, so that what is allocated
// after Start is the client's.
func New(cfg Config) *Run {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Run{cfg: cfg, recorder: newRecorder(cfg.Callers), cancel: cancel}
	for i := range cfg.Callers {
		c := &caller{
			run:    r,
			shard:  r.recorder.shard(i),
			window: make([]call, cfg.Window),
			ctx:    context.Background(),
			end:    func() {},
		}
		if cfg.Cancelable {
			// One for all would be a lock for all: a select locks the channels
			// that it waits for.
			c.ctx, c.end = context.WithCancel(ctx)
		}
		r.callers = append(r.callers, c)
	}
	return r
}

// Start starts the callers.
func (r *Run) Start() {
	r.began = time.Now()
	for _, c := range r.callers {
		r.ended.Go(c.loop)
	}
}

// Read sets c to what has been counted since Start. It allocates nothing.
func (r *Run) Read(c *Counts) { r.recorder.read(c) }

// Errors returns how many calls failed, by kind, the most frequent first.
func (r *Run) Errors() []Fault { return r.faults.list() }

// Violations returns the first futures that broke the order of their creation,
// and the number of all of them.
func (r *Run) Violations() (first []history.Violation, total int64) { return r.creation.list() }

// Stop tells the callers that the call they make is their last, and returns when
// they have ended. Those that take longer than grace are cancelled; a client that
// ignores that is closed.
func (r *Run) Stop(grace time.Duration) {
	r.stop.Do(func() {
		r.stopping.Store(true)
		soft := time.AfterFunc(grace, r.cancel)
		hard := time.AfterFunc(2*grace, r.cfg.Client.Close)
		r.ended.Wait()
		soft.Stop()
		hard.Stop()
		r.cancel()
	})
}

// now is a monotonic clock: one reading costs half of what time.Now does.
func (r *Run) now() time.Duration { return time.Since(r.began) }
