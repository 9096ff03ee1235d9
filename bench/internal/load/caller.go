package load

import (
	"context"
	"time"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/bench/internal/impl"
)

// errorPause is how long a caller rests after an error, so that a server that is
// gone is not answered with a busy loop.
const errorPause = 10 * time.Millisecond

// caller is one goroutine of a Run.
type caller struct {
	run    *Run
	client impl.Client
	shard  *shard
	window []call // of futures
	ctx    context.Context
	end    context.CancelFunc
	quota  int           // calls left to make
	next   time.Duration // when the next call is due, by Pace.Every
	late   *alarm
}

// call is one call on its way.
type call struct {
	future impl.Future // nil unless there is a window
	start  time.Duration
	floor  uint64 // see history.Online
}

func (c *caller) loop() {
	defer c.end()
	if c.run.cfg.Batch > 0 {
		c.loopBatch()
		return
	}
	if c.run.cfg.Window > 0 {
		c.loopAsync()
		return
	}
	paced := c.run.cfg.Pace != Pace{}
	for c.more() {
		this := c.begin()
		if paced {
			due, ok := c.await()
			if !ok {
				return
			}
			this.start = due
		}
		physical, logical, err := c.client.GetTS(c.ctx)
		c.finish(this, physical, logical, err)
	}
}

// more reports whether there is another call to make.
func (c *caller) more() bool {
	c.quota--
	return c.quota >= 0 && !c.run.stopping.Load()
}

// loopAsync keeps a window of futures: it waits for the oldest, and has a new one
// take its place. In the end it waits for those that are left.
func (c *caller) loopAsync() {
	client := c.client.(impl.Async) //nolint:forcetypeassert,errcheck // promised in Config
	var newest uint64
	oldest := 0
	for c.more() {
		place := &c.window[oldest]
		newest = c.wait(*place, newest)
		*place = c.begin()
		place.future = client.GetTSAsync(c.ctx)
		oldest = (oldest + 1) % len(c.window)
	}
	for i := range c.window {
		newest = c.wait(c.window[(oldest+i)%len(c.window)], newest)
	}
}

// loopBatch makes calls for many timestamps, and looks at each of them.
func (c *caller) loopBatch() {
	client := c.client.(impl.Batching) //nolint:forcetypeassert,errcheck // promised in Config
	var newest uint64
	for c.more() {
		c.quota -= c.run.cfg.Batch - 1
		this := c.begin()
		batch, err := client.GetTSBatch(c.ctx, c.run.cfg.Batch)
		took := c.run.now() - this.start
		if err != nil {
			c.failed(err)
			continue
		}
		for physical, logical := range batch.All() {
			ts := tso.ComposeTS(physical, logical)
			if ts <= newest {
				c.run.creation.add(newest, ts)
			}
			newest = ts
			if check := c.run.cfg.Check; check != nil {
				check.End(this.floor, ts)
			}
		}
		c.shard.succeeded(took, batch.Len(), newest)
	}
}

// wait ends a call, if it is one, and returns the newest timestamp of the
// caller's, which was newest before.
func (c *caller) wait(this call, newest uint64) uint64 {
	if this.future == nil {
		return newest
	}
	physical, logical, err := this.future.Wait()
	ts := c.finish(this, physical, logical, err)
	if err != nil {
		return newest
	}
	if ts <= newest {
		c.run.creation.add(newest, ts)
	}
	return ts
}

// begin notes that a call is about to be made.
func (c *caller) begin() call {
	var floor uint64
	if check := c.run.cfg.Check; check != nil {
		floor = check.Begin()
	}
	return call{floor: floor, start: c.run.now()}
}

// finish notes what has become of a call, and returns its timestamp.
func (c *caller) finish(this call, physical, logical int64, err error) uint64 {
	took := c.run.now() - this.start
	if err != nil {
		c.failed(err)
		return 0
	}
	ts := tso.ComposeTS(physical, logical)
	c.shard.succeeded(took, 1, ts)
	if check := c.run.cfg.Check; check != nil {
		check.End(this.floor, ts)
	}
	return ts
}

// failed counts an error, unless it is the end of the run.
func (c *caller) failed(err error) {
	if c.run.stopping.Load() {
		return
	}
	c.shard.failed()
	c.run.faults.add(err)
	pause := time.NewTimer(errorPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-c.ctx.Done():
	}
}
