package member

import (
	"context"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
)

// How long a round goes on once it has something to go by. Until somebody answers it lasts for Config.Timeout.
const (
	// agreeGrace is how long New waits for the other addresses after the first that answered, to see whether all
	// belong to one cluster. Healthy members of one cluster answer within tens of milliseconds of each other even
	// from another continent; what takes longer is usually black-holed and would cost the whole Timeout, at every
	// start of every process. A foreign address that is slower is refused later, at the first refresh.
	agreeGrace = 200 * time.Millisecond

	// confirmGrace is how long a named leader has to confirm it. One that lives does so within a round trip; while
	// its path is cut, each refresh is this much later.
	confirmGrace = 20 * time.Millisecond

	// leaderGrace is how long a round waits for a member with a leader to name after another said that it has none.
	// During an election it is better to ask again soon than to wait for a member that is frozen; but one round of
	// patientEvery in a row that brought nothing waits for members that are far.
	leaderGrace        = 30 * time.Millisecond
	patientLeaderGrace = 200 * time.Millisecond
	patientEvery       = 5
)

// patience says how much longer a round waits for the remaining addresses when it enters a stage; false means it is
// over at once. It is not called for the silent stage.
func (p *poll) patience(s stage) (time.Duration, bool) {
	switch {
	case s == broken:
		return 0, false
	case p.thorough:
		return thoroughGrace, s == foreign
	case p.founding:
		return agreeGrace, true
	case s == confirmed:
		return 0, false
	case s == named:
		return confirmGrace, true
	case p.patient:
		return patientLeaderGrace, true
	default:
		return leaderGrace, true
	}
}

// round asks all addresses at once and returns the best snapshot that their answers give, as soon as there is no point
// in waiting for more. So a member that does not answer costs nothing while another does.
func (m *Members) round(ctx context.Context, asked []string, p *poll) (*Snapshot, error) {
	timed, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel() // Ends the calls that nobody waits for any more.
	answers := m.ask(timed, asked, p.thorough)

	grace := stoppedTimer()
	defer grace.Stop()
	reached := silent
	for range asked {
		select {
		case a := <-answers:
			p.add(a)
		case <-grace.C:
			return p.result(asked)
		case <-ctx.Done():
			return p.result(asked)
		}
		if now := p.stage(); now != reached {
			wait, more := p.patience(now)
			if !more {
				break
			}
			// When founding the clock runs from the first answer, whatever it was.
			if !p.founding || reached == silent {
				grace.Reset(wait)
			}
			reached = now
		}
	}
	return p.result(asked)
}

// ask sends GetMembers to every address and returns the channel of their answers, one for each, which has room for all
// so that no call waits for the round. The calls end with ctx. Who does not answer a thorough one is asked again until then.
func (m *Members) ask(ctx context.Context, urls []string, thorough bool) <-chan answer {
	answers := make(chan answer, len(urls))
	for _, u := range urls {
		m.running.Go(func() {
			resp, err := m.getMembers(ctx, u, thorough)
			for thorough && err != nil && sleep(ctx, jitter(thoroughPause)) {
				resp, err = m.getMembers(ctx, u, thorough)
			}
			answers <- answer{url: u, resp: resp, err: m.conns.contacts.explain(u, err)}
		})
	}
	return answers
}

// Started asks the member at the other end of conn whether it has started: one that has not answers a list of members with
// an error. It returns nil if it has.
func Started(ctx context.Context, conn *grpc.ClientConn) error {
	resp, err := listMembers(ctx, conn)
	if err != nil {
		return err
	}
	return headerError(resp)
}

// listMembers sends GetMembers. No header: members take the request from anyone, since a client asks before it can know the
// cluster's id.
func listMembers(ctx context.Context, conn *grpc.ClientConn) (*pdpb.GetMembersResponse, error) {
	return pdpb.NewPDClient(conn).GetMembers(ctx, &pdpb.GetMembersRequest{}, grpc.MaxCallRecvMsgSize(maxMembersSize))
}
