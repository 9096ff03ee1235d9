package member

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/etcdwatch"
	"github.com/tsoring/tso/internal/office"
)

// post is where one watch at a time is kept: the first for ever, the second, the relief, while there is trouble and for a
// while after that. A goroutine each.
type post struct {
	*watches
	other  *post
	relief bool
	stir   chan struct{} // Holds one token: trouble has begun, or is over.

	url   string // Who is watched, "" for nobody. Guarded by watches.mu, like the next three.
	live  bool   // The watch tells.
	proof proof
	heard int // How often the watch has shown that it is alive.
}

// proof is what is known of whether a watch is alive, since that was last asked.
type proof uint8

const (
	none    proof = iota // Not known, and nobody waits for it.
	awaited              // To be told soon.
	given
)

const (
	// reliefLinger is how long the relief stays when trouble is over: it seldom comes alone.
	reliefLinger = 2 * time.Second

	// A member that could not be watched is left alone for a while, which doubles each time; a minute at once if it serves
	// no etcd here, as behind a proxy that lets through what PD's own client calls.
	minShunned = time.Second
	maxShunned = time.Minute

	// How often a watch is asked whether it is alive, when there is no trouble and when there is.
	aliveInterval   = time.Minute
	troubleInterval = doubtAfter * 2
)

var (
	errSilentWatch = errors.New("the watched member does not answer")
	errRelieved    = errors.New("not needed any more")
)

// wake has the post look at what is wanted of it.
func (p *post) wake() {
	select {
	case p.stir <- struct{}{}:
	default:
	}
}

// prove takes in that the watch is alive. Under mu.
func (p *post) prove() {
	p.live, p.proof = true, given
	p.heard++
}

// needed reports whether there should be a watch at this post, and whether somebody waits for a proof that it is alive.
func (p *post) needed() (needed, prove bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.relief || p.trouble, p.proof == awaited
}

// keep keeps a watch for as long as there should be one, until Close.
func (p *post) keep() {
	again := time.NewTimer(0) // The first watch begins at once.
	defer again.Stop()
	for p.await(again) {
		if needed, _ := p.needed(); !needed {
			continue
		}
		url, wait := p.choose()
		if url == "" {
			again.Reset(wait)
			continue
		}
		err := p.watch(url)
		p.left(url, err)
		again.Reset(0)
	}
}

// await waits until there is something to do. It returns false after Close.
func (p *post) await(again *time.Timer) bool {
	select {
	case <-again.C:
		return true
	case <-p.stir:
		return true
	case <-p.m.ctx.Done():
		return false
	}
}

// choose returns whom to watch, a follower if there is one, or "" and after how long to look again.
func (p *post) choose() (url string, wait time.Duration) {
	s, now := p.m.Snapshot(), time.Now()
	candidates := slices.Clone(s.Followers)
	rand.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	candidates = append(candidates, s.Leader)
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = maxShunned
	for _, c := range candidates {
		left := p.shunned[c].until.Sub(now)
		switch {
		case c == p.other.url:
		case left > 0:
			wait = min(wait, left)
		default:
			p.url = c
			return c, 0
		}
	}
	return "", wait
}

// left takes in that a watch has ended, or not begun.
func (p *post) left(url string, err error) {
	if p.m.ctx.Err() == nil {
		p.m.log.Debug("watch of the PD leader has ended", zap.String("member", url), zap.Error(err))
	}
	p.change(func() {
		if !errors.Is(err, errRelieved) {
			p.shun(url, err)
		}
		p.url, p.live, p.proof = "", false, none
		p.other.wake() // It may be looking for somebody to watch.
		if !p.other.live {
			p.office.Unwatch()
			p.told, p.term = time.Time{}, 0
		}
	})
}

// shun has a member not be watched for a while. Under mu.
func (p *post) shun(url string, err error) {
	pause := minShunned
	switch before, ok := p.shunned[url]; {
	case status.Code(err) == codes.Unimplemented:
		pause = maxShunned
	case ok:
		pause = min(2*before.pause, maxShunned)
	}
	if len(p.shunned) >= maxRecords {
		clear(p.shunned)
	}
	p.shunned[url] = shunned{until: time.Now().Add(pause), pause: pause}
}

// watch watches the leader's key at a member, until that ends, or is not wanted any more.
func (p *post) watch(url string) error {
	key := leaderKey(p.m.Snapshot().ClusterID)
	if key == "" {
		return status.Error(codes.Unimplemented, "no cluster id, no key")
	}
	ctx, cancel := context.WithCancel(p.m.ctx)
	defer cancel()
	opening := time.AfterFunc(p.m.cfg.Timeout, cancel)
	defer opening.Stop()
	// What the key holds, and what happens to it from then on.
	conn, err := p.m.conns.get(url)
	if err != nil {
		return err
	}
	found, err := etcdwatch.Range(ctx, conn, []string{key})
	if err != nil {
		return err
	}
	stream, err := etcdwatch.Watch(ctx, conn, found)
	if err != nil {
		return err
	}
	var why error
	ended := make(chan struct{})
	p.m.running.Go(func() {
		defer close(ended)
		why = p.read(stream, url, found, opening)
	})
	err = p.guard(stream, ended)
	stream.Close()
	<-ended // From here on nothing is told at this post.
	return cmp.Or(err, why)
}

// read takes in what a watch tells until it ends. What has been found before counts from when the watch has begun: while there
// is none at all nothing is known.
func (p *post) read(stream *etcdwatch.Stream, url string, found etcdwatch.Snapshot, opening *time.Timer) error {
	for {
		u, err := stream.Next()
		if err != nil {
			return err
		}
		var before []etcdwatch.Event
		if u.Begun {
			opening.Stop()
			before = found.Events
			p.m.counters.watches.Add(1)
			p.m.log.Debug("watching the PD leader", zap.String("at", url))
		}
		if err := p.take(url, found.Revision, before, u); err != nil {
			return err
		}
	}
}

// take takes in what a member has told, and before that what it has found at a revision.
func (p *post) take(url string, revision int64, found []etcdwatch.Event, u etcdwatch.Update) (err error) {
	p.change(func() {
		for _, e := range found {
			if e.Deleted && p.office.State() == office.Unwatched {
				continue // Has there ever been such a key? The next event will tell.
			}
			if e.Deleted {
				e.Revision = revision
			}
			if err = p.takeEvent(e, true); err != nil {
				return
			}
		}
		for _, e := range u.Events {
			if err = p.takeEvent(e, false); err != nil {
				return
			}
		}
		if u.Begun {
			delete(p.shunned, url)
		}
		if u.Term >= p.term {
			p.term = u.Term
			p.prove()
		}
	})
	return err
}

// guard asks the watch now and then whether it is alive, and returns why it has to end, or nil when it has ended.
func (p *post) guard(stream *etcdwatch.Stream, ended <-chan struct{}) error {
	interval, _ := p.pace()
	alive, doubt, linger := time.NewTimer(jitter(interval)), stoppedTimer(), stoppedTimer()
	defer alive.Stop()
	defer doubt.Stop()
	defer linger.Stop()
	heard := 0 // When it was last asked.
	for {
		select {
		case <-ended:
			return nil
		case <-p.stir:
			needed, prove := p.needed()
			if prove {
				heard = p.ask(stream)
				doubt.Reset(doubtAfter)
			}
			if linger.Stop(); !needed {
				linger.Reset(reliefLinger)
			}
			interval, _ := p.pace()
			alive.Reset(jitter(interval))
		case <-alive.C:
			heard = p.ask(stream)
			interval, patience := p.pace()
			doubt.Reset(patience)
			alive.Reset(jitter(interval))
		case <-doubt.C:
			if p.hasHeard() == heard {
				return errSilentWatch
			}
		case <-linger.C:
			return errRelieved
		}
	}
}

// pace returns how often to ask a watch whether it is alive, and how long it may take to answer.
func (p *post) pace() (interval, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble {
		return troubleInterval, doubtAfter
	}
	return aliveInterval, p.m.cfg.Timeout
}

// stoppedTimer returns one that does not fire before it is reset.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// ask asks a watch whether it is alive, and returns how often it has been heard before.
func (p *post) ask(stream *etcdwatch.Stream) int {
	heard := p.hasHeard()
	_ = stream.Progress() // If it cannot be asked it has ended, and its reader says why.
	return heard
}

// hasHeard returns how often watches at the post have shown that they are alive.
func (p *post) hasHeard() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard
}
