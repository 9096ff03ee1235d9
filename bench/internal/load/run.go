package load

import (
	"context"
	"math"
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
	// Batch, if not 0, has each caller make calls for so many timestamps, whatever
	// Window says. The client must be an impl.Batching. Each timestamp counts as a call, and
	// took what all of them did.
	Batch int
	// Cancelable gives each caller a context of its own that can be cancelled,
	// as a server has for each request; otherwise it is context.Background.
	Cancelable bool
	// Views, if not empty, are what the callers call instead of Client, in turn: views
	// of it, such as one for each dc-location.
	Views []impl.Client
	// Quota, if not 0, is how many calls each caller makes. Otherwise they go on
	// until Stop.
	Quota int
	// Pace says when callers call; its zero value is a closed loop.
	Pace Pace
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
	done     chan struct{}      // closed when they have
	schedule *schedule          // nil unless the loop is open
	stop     sync.Once
}

// New returns a load that has all the memory it needs, so that what is allocated
// after Start is the client's.
func New(cfg Config) *Run {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Run{cfg: cfg, recorder: newRecorder(cfg.Callers), cancel: cancel, done: make(chan struct{})}
	if cfg.Pace.Rate > 0 {
		r.schedule = newSchedule(cfg.Pace.Rate)
	}
	for i := range cfg.Callers {
		c := &caller{
			run:    r,
			client: cfg.Client,
			shard:  r.recorder.shard(i),
			window: make([]call, cfg.Window),
			ctx:    context.Background(),
			end:    func() {},
			quota:  cfg.Quota,
			late:   newAlarm(),
		}
		if n := len(cfg.Views); n > 0 {
			c.client = cfg.Views[i%n]
		}
		if cfg.Quota == 0 {
			c.quota = math.MaxInt
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
	if r.schedule != nil {
		go r.schedule.play(r.began)
	}
	go func() {
		r.ended.Wait()
		close(r.done)
	}()
}

// Done is closed when all callers have ended: they have been stopped, or have made
// as many calls as they were to make.
func (r *Run) Done() <-chan struct{} { return r.done }

// Read sets c to what has been counted since Start. It allocates nothing.
func (r *Run) Read(c *Counts) { r.recorder.read(c) }

// Errors returns how many calls failed, by kind, the most frequent first.
func (r *Run) Errors() []Fault { return r.faults.list() }

// Violations returns the first futures that broke the order of their creation,
// and the number of all of them.
func (r *Run) Violations() (first []history.Violation, total int64) { return r.creation.list() }

// Stop tells the callers that the call they make is their last, and returns when
// they have ended. It comes after Start. Those that take longer than grace are cancelled; a client that
// ignores that is closed.
func (r *Run) Stop(grace time.Duration) {
	r.stop.Do(func() {
		r.stopping.Store(true)
		soft := time.AfterFunc(grace, r.cancel)
		hard := time.AfterFunc(2*grace, r.cfg.Client.Close)
		if r.schedule != nil {
			r.schedule.end()
			<-r.schedule.ended
		}
		<-r.done
		soft.Stop()
		hard.Stop()
		r.cancel()
	})
}

// now is a monotonic clock: one reading costs half of what time.Now does.
func (r *Run) now() time.Duration { return time.Since(r.began) }
