package scenario

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/ring"
)

// The rivals of the queue scenarios, which have no client: what callers hand their
// requests over with.
var (
	Ring    = Rival{Name: "tso-ring"}
	Channel = Rival{Name: "channel"}
)

// queueRoom is the capacity of both: that of a client's ring.
const queueRoom = 65536

// queue is what producers push to and one consumer takes from.
type queue struct {
	push func(v *int)
	// take takes some values and returns how many; it may wait for one, and try does
	// not.
	take, try func() int
}

func newQueue(r Rival) queue {
	if r == Channel {
		c := make(chan *int, queueRoom)
		return queue{
			push: func(v *int) { c <- v },
			take: func() int { <-c; return 1 },
			try: func() int {
				select {
				case <-c:
					return 1
				default:
					return 0
				}
			},
		}
	}
	values, taken := ring.New[*int](queueRoom), make([]*int, 1024)
	take := func() int { return values.Drain(taken) }
	return queue{
		push: func(v *int) {
			for !values.TryPush(v) {
				runtime.Gosched()
			}
		},
		take: func() int { return orYield(take()) },
		try:  take,
	}
}

// orYield has a consumer that has found nothing let others go first.
func orYield(n int) int {
	if n == 0 {
		runtime.Gosched()
	}
	return n
}

// measureQueue has s.Callers producers push as fast as they can.
func measureQueue(ctx context.Context, s Scenario, r Rival, extent Extent) (result.Result, error) {
	q, v := newQueue(r), new(int)
	var stop, ended atomic.Bool
	var producers sync.WaitGroup
	runtime.GC()
	before, began := load.ReadUsage(), time.Now()
	for range s.Callers {
		producers.Go(func() {
			for !stop.Load() {
				q.push(v)
			}
		})
	}
	// The clock is read seldom enough not to be measured.
	const look = 4096
	n, looked := 0, 0
	for over := false; !over; {
		n += q.take()
		if n-looked >= look || extent.Calls > 0 {
			looked = n
			over = ctx.Err() != nil || extent.Calls > 0 && n >= extent.Calls || extent.Calls == 0 && time.Since(began) >= extent.Duration
		}
	}
	m := load.Reading{Usage: load.ReadUsage().Sub(before)}
	stop.Store(true)
	go func() { producers.Wait(); ended.Store(true) }()
	for !ended.Load() {
		orYield(q.try()) // some may wait for room
	}
	m.Calls, m.Stats = int64(n), impl.Stats{}
	return newResult(s, r, 0, &m, 0)
}
