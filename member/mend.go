package member

import (
	"context"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/tsoring/tso/internal/pderr"
)

// A connection is part of what may be wrong. It may be dead without knowing, as when a gateway has forgotten it. Or it leads
// to somebody else: the address of a member was another process's when it was made, which may belong to another cluster or
// be no PD at all, and the connection stays there although the address leads back. So whoever says what the member at a URL
// cannot say is asked again on a new connection, for which the name is resolved anew, and if that one is better it takes the
// place of the first. That goes on when the round has ended, whom others may have told enough.

const (
	// doubtAfter is how long a member may take to answer before its connection is doubted.
	doubtAfter = 300 * time.Millisecond

	// The pause between new connections to an address that still leads elsewhere, or nowhere, doubles with each of them.
	minMendPause = 100 * time.Millisecond
	maxMendPause = 1600 * time.Millisecond

	// lossShows is how long the loss of a connection may take to show in its state once a call on it has ended: until
	// another goroutine has run.
	lossShows = 20 * time.Millisecond
)

// answerOn is what asking on one connection came to.
type answerOn struct {
	conn *grpc.ClientConn
	resp *pdpb.GetMembersResponse
	err  error
}

// mending is one question on a new connection to a URL. It is made and looked up under connections.mu.
type mending struct {
	done   chan struct{}
	answer *answerOn // Written before done is closed; nil if nobody could be asked.
	good   bool      // Likewise.

	pause time.Duration // Until the next may begin.
	again time.Time     // When that is; written before done is closed.
}

func (g *mending) ended() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// getMembers asks one member, and on a new connection as well while that which there is brings no answer although it seems
// to be in order, or one that cannot be the member's. A thorough question waits until that is possible.
func (m *Members) getMembers(ctx context.Context, url string, thorough bool) (*pdpb.GetMembersResponse, error) {
	conn, err := m.conns.get(url)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	doubt := time.NewTimer(min(doubtAfter, m.cfg.Timeout/2))
	defer doubt.Stop()
	var (
		last   answerOn             // On the connection that there is.
		shared = m.askOn(ctx, conn) // Where that comes; nil once it has.
		other  *mending             // The question on another one; nil before it.
		mended <-chan struct{}      // Its end; nil while none is to come.
		ended  = ctx.Done()         // nil once all that is to come will come soon.
	)
	for shared != nil || mended != nil {
		select {
		case last = <-shared:
			if shared = nil; !m.isDoubtful(ctx, last) {
				if last.err == nil {
					m.conns.trust(url)
				}
				return last.resp, last.err
			}
			if other == nil {
				other, mended = m.mend(url, conn, thorough)
			}
		case <-doubt.C:
			if other == nil && conn.GetState() == connectivity.Ready {
				other, mended = m.mend(url, conn, thorough)
			}
		case <-mended:
			if mended = nil; other.good || shared == nil && other.answer != nil {
				return other.answer.resp, other.answer.err
			}
		case <-ended:
			mended, ended = nil, nil
		}
	}
	return last.resp, last.err
}

// isDoubtful reports whether an answer cannot be that of the member that was asked. It waits a moment where the connection's
// state has to tell.
func (m *Members) isDoubtful(ctx context.Context, a answerOn) bool {
	if a.err != nil {
		// A server's Unavailable leaves the connection as it is, the transport's does not. PD says it too, while it starts and
		// while it elects.
		return pderr.Misdirected(a.err) || pderr.Unreachable(a.err) && !pderr.OfPD(a.err) && staysUp(ctx, a.conn)
	}
	if a.resp.GetHeader() == nil && len(a.resp.GetMembers()) == 0 {
		return true // Nothing of PD is in it.
	}
	known := m.Snapshot()
	id := a.resp.GetHeader().GetClusterId()
	return known != nil && known.ClusterID != 0 && id != 0 && id != known.ClusterID
}

// staysUp reports whether a connection on which a call has just ended is up nevertheless. When one is lost grpc-go leaves its
// state to another goroutine and ends the calls, so these may be first.
func staysUp(ctx context.Context, conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithTimeout(ctx, lossShows)
	defer cancel()
	return conn.GetState() == connectivity.Ready && !conn.WaitForStateChange(ctx, connectivity.Ready)
}

// mend begins a question on a new connection to a URL, or joins the one that there is. It returns nil if it is too early for
// another one, unless somebody insists.
func (m *Members) mend(url string, doubted *grpc.ClientConn, insist bool) (*mending, <-chan struct{}) {
	g, begun := m.conns.mending(url, insist)
	if g == nil {
		return nil, nil
	}
	if begun {
		m.running.Go(func() {
			defer close(g.done)
			m.askAnew(url, doubted, g, insist)
			g.again = time.Now().Add(g.pause)
		})
	}
	return g, g.done
}

// askAnew asks on a new connection when there is a turn for it, and puts it in the place of the one that is doubted if it is
// better.
func (m *Members) askAnew(url string, doubted *grpc.ClientConn, g *mending, insist bool) {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.Timeout)
	defer cancel()
	if !m.awaitTurn(ctx, insist) {
		return
	}
	fresh, err := m.conns.create(url, false, m.conns.freshLimit())
	if err != nil {
		return
	}
	a := <-m.askOn(ctx, fresh)
	g.answer, g.good = &a, a.err == nil && !m.isDoubtful(ctx, a)
	if !g.good || !m.conns.replace(url, doubted, fresh) {
		closeConns([]*grpc.ClientConn{fresh})
	}
}

// awaitTurn waits for the turn to make a connection. It returns false if there is none soon, or before ctx ends if that is
// insisted on.
func (m *Members) awaitTurn(ctx context.Context, insist bool) bool {
	if m.cfg.Turn == nil {
		return true
	}
	for {
		wait, ok := m.cfg.Turn()
		if !ok && !insist || !sleep(ctx, wait) {
			return false
		}
		if ok {
			return true
		}
	}
}

// mending returns the question on a new connection to a URL that there is or may be now, and whether it begins with this.
func (c *connections) mending(url string, insist bool) (g *mending, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.mendings[url]
	g = &mending{done: make(chan struct{}), pause: minMendPause}
	if last != nil {
		if !last.ended() {
			return last, false
		}
		if !insist && time.Now().Before(last.again) {
			return nil, false
		}
		g.pause = min(2*last.pause, maxMendPause)
	}
	c.mendings[url] = g
	return g, true
}

// trust forgets that a connection has been doubted.
func (c *connections) trust(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.mendings[url]; g != nil && g.ended() {
		delete(c.mendings, url)
	}
}

// askOn sends GetMembers on a connection, and returns where the answer comes. The call ends with ctx.
func (m *Members) askOn(ctx context.Context, conn *grpc.ClientConn) <-chan answerOn {
	m.counters.getMembers.Add(1)
	answers := make(chan answerOn, 1) // Room for it, so that it does not wait for us.
	m.running.Go(func() {
		resp, err := listMembers(ctx, conn)
		answers <- answerOn{conn: conn, resp: resp, err: err}
	})
	return answers
}
