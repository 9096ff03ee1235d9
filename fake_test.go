package tso

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/internal/wheel"
	"github.com/tsoring/tso/internal/wire"
	"github.com/tsoring/tso/member"
)

// fakeStream is a tsoStream driven by a test: requests come out of sent, and
// what the test puts into answers is received.
type fakeStream struct {
	url     string
	sent    chan uint32
	answers chan fakeAnswer
	closed  chan struct{}
	once    sync.Once
	cause   error
	retired atomic.Int64 // the unanswered requests at the end, plus one
}

// fakeAnswer is an answer, or the end of the stream.
type fakeAnswer struct {
	response wire.Response
	err      error
}

func newFakeStream(url string) *fakeStream {
	return &fakeStream{
		url:     url,
		sent:    make(chan uint32, maxInFlight),
		answers: make(chan fakeAnswer, maxInFlight),
		closed:  make(chan struct{}),
	}
}

func (s *fakeStream) Send(count uint32) error {
	select {
	case <-s.closed:
		return s.cause
	case s.sent <- count:
		return nil
	default:
		return errors.New("fake stream: more requests than can be in flight")
	}
}

func (s *fakeStream) Retire(unanswered int) { s.retired.Store(int64(unanswered) + 1) }

func (s *fakeStream) Recv(r *wire.Response) error {
	select {
	case a := <-s.answers:
		*r = a.response
		return a.err
	case <-s.closed:
		return s.cause
	}
}

func (s *fakeStream) Close(cause error) {
	s.once.Do(func() {
		if s.cause = cause; cause == nil {
			s.cause = errors.New("fake stream closed")
		}
		close(s.closed)
	})
}

// grant answers a request for count timestamps, the last of which is ts.
func (s *fakeStream) grant(ts uint64, count uint32) {
	s.answers <- fakeAnswer{response: granting(ts, count)}
}

func granting(ts uint64, count uint32) wire.Response {
	physical, logical := ExtractTS(ts)
	return wire.Response{Count: count, HasTime: true, Physical: physical, Logical: logical, ClusterID: fakeCluster}
}

// echoStream answers each request at once, with rising timestamps.
type echoStream struct {
	*fakeStream
	oracle *atomic.Int64
}

func newEchoStream(url string, oracle *atomic.Int64) tsoStream {
	return echoStream{fakeStream: newFakeStream(url), oracle: oracle}
}

func (s echoStream) Recv(r *wire.Response) error {
	select {
	case <-s.closed:
		return s.cause
	default:
	}
	select {
	case count := <-s.sent:
		*r = wire.Response{
			Count: count, HasTime: true, ClusterID: fakeCluster,
			Physical: s.oracle.Add(1), Logical: int64(count),
		}
		return nil
	case <-s.closed:
		return s.cause
	}
}

const fakeCluster = 7

// fakeEnv is the environment of a lane without a client.
type fakeEnv struct {
	*laneEnv
	leader    atomic.Pointer[string]
	refreshes atomic.Int64
	forgotten atomic.Int64
	// refreshed is what the next waits for a refresh return.
	refreshed atomic.Pointer[error]
	oracle    atomic.Int64
	// probe opens the streams that are tried beside a silent one; without it they
	// fail. conns counts what has become of their connections.
	probe   func(route) tsoStream
	conns   fakeConns
	running sync.WaitGroup // the lanes' run goroutines
}

// newFakeEnv returns an environment whose streams come from open.
func newFakeEnv(open func(url string, oracle *atomic.Int64) tsoStream) *fakeEnv {
	e := &fakeEnv{}
	e.moveTo("pd-1")
	began := time.Now()
	e.laneEnv = &laneEnv{
		target:  func(string) string { return *e.leader.Load() },
		refresh: func() { e.refreshes.Add(1) },
		refreshWait: func(context.Context) error {
			e.refreshes.Add(1)
			if p := e.refreshed.Load(); p != nil {
				return *p
			}
			return nil
		},
		open: func(ctx context.Context, _ string, r route) (tsoStream, error) {
			return e.stream(ctx, open(r.via, &e.oracle))
		},
		fresh: func(ctx context.Context, _ string, r route) (tsoStream, connection, error) {
			if e.probe == nil {
				return nil, nil, errors.New("nobody there")
			}
			s, err := e.stream(ctx, e.probe(r))
			return s, &e.conns, err
		},
		reachable: func(string) bool { return true },
		candidate: func() string { return "" },
		members:   func() []string { return []string{*e.leader.Load()} },
		health:    func(context.Context, string) error { return nil },
		forget:    func(*lane) { e.forgotten.Add(1) },
		depth:     batch.Depth,
		now:       func() int64 { return int64(time.Since(began)) },
		clusterID: func() uint64 { return fakeCluster },
		watch:     noWatch{},
		wheel:     wheel.New(),
		requests:  newRequestPool(),
		parts:     newRequestPool(),
		batches:   &sync.Pool{New: newBatch},
		pace:      &pacer{},
		unknown:   &unknownLists{},
		stats:     &counters{},
		log:       zap.NewNop(),
		timeout:   defaultTimeout,
		budget:    defaultBudget,
		capacity:  ringCapacity,
		grace:     removalGrace,
	}
	e.sameCluster = e.refreshWait
	e.inFlight.Store(maxInFlight)
	e.oracle.Store(1 << 40)
	return e
}

// noWatch is a cluster that cannot be watched.
type noWatch struct{}

func (noWatch) Office() member.Office { return member.Office{} }
func (noWatch) Trouble()              {}
func (noWatch) Calm(string)           {}
func (noWatch) Refute(string)         {}

// stream is what open and fresh make of a fake stream, nil if there is none.
func (e *fakeEnv) stream(ctx context.Context, s tsoStream) (tsoStream, error) {
	if s == nil {
		return nil, errors.New("connection refused")
	}
	context.AfterFunc(ctx, func() { s.Close(context.Cause(ctx)) })
	return s, nil
}

// fakeConns stands for the connections of all streams that were tried out.
type fakeConns struct{ kept, dropped atomic.Int64 }

func (c *fakeConns) keep() bool { c.kept.Add(1); return true }
func (c *fakeConns) drop()      { c.dropped.Add(1) }

func (e *fakeEnv) moveTo(url string) { e.leader.Store(&url) }

// startFakeLane returns a lane on streams from open, that is closed with the
// test.
func startFakeLane(t testing.TB, open func(string, *atomic.Int64) tsoStream) (*lane, *fakeEnv) {
	e := newFakeEnv(open)
	return startLane(t, e), e
}

// startLane returns a lane in e, that is closed with the test.
func startLane(t testing.TB, e *fakeEnv) *lane {
	l := newLane(globalDC, e.laneEnv)
	e.run(t, l)
	return l
}

// run starts a lane in e, that is closed with the test.
func (e *fakeEnv) run(t testing.TB, l *lane) {
	e.running.Go(l.run)
	t.Cleanup(func() {
		l.close(ErrClosed)
		e.running.Wait()
		e.wheel.Close()
	})
}
