package member

import (
	"errors"
	"fmt"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"go.uber.org/zap"

	"github.com/tsoring/tso/internal/pderr"
)

// answer is what asking one address came to.
type answer struct {
	url  string
	resp *pdpb.GetMembersResponse
	err  error
}

// poll judges the answers of one round as they come in. It has no clock and does no I/O, and belongs to the goroutine
// that runs the round.
//
// Among members that disagree on the leader it prefers a confirmed answer: one that the named leader gave itself. A
// follower may lag behind an election, and a member cut off from the others may name the leader of an hour ago, but a
// member that says "I am the leader" is wrong only while its lease runs out, and then whoever takes its timestamps is
// guarded by the high-water mark. Without a confirmed answer the first one counts.
type poll struct {
	secure    bool
	founding  bool   // No cluster id is known yet: all who answer must agree on one.
	patient   bool   // Members that are far shall have a chance to answer.
	thorough  bool   // Only whether all belong to another cluster counts; see check.go.
	clusterID uint64 // The cluster's id; 0 accepts any, and becomes the first that is told.
	log       *zap.Logger

	namedBy   string // Who told clusterID, when founding.
	best      *Snapshot
	confirmed bool
	ours      int    // Answers from our cluster, usable or not.
	candidate string // Who leads etcd, if that is not who is said to lead PD.
	strangers int    // Answers from another cluster.
	noLeader  bool
	conflict  error            // Founding only: two addresses, two clusters.
	causes    map[string]error // Why each address that did not help did not.
}

// The stages of a round: what it may still wait for, and so how long (see patience).
type stage int

const (
	silent    stage = iota // Nobody has answered.
	foreign                // Only members of other clusters have.
	answered               // One of ours has, but named no leader.
	named                  // Somebody has named a leader.
	confirmed              // The leader has named itself.
	broken                 // Founding only: the addresses do not belong together.
)

func (p *poll) stage() stage {
	switch {
	case p.conflict != nil:
		return broken
	case p.confirmed:
		return confirmed
	case p.best != nil:
		return named
	case p.ours > 0:
		return answered
	case p.strangers > 0:
		return foreign
	default:
		return silent
	}
}

// headerError returns the error that an answer carries instead of a list.
func headerError(resp *pdpb.GetMembersResponse) error {
	if e := resp.GetHeader().GetError(); pderr.ClassifyHeader(e) != pderr.None {
		return fmt.Errorf("it says %v: %q", e.GetType(), e.GetMessage())
	}
	return nil
}

// add takes one answer into account.
func (p *poll) add(a answer) {
	if a.err != nil {
		p.fail(a.url, a.err)
		return
	}
	if err := headerError(a.resp); err != nil {
		p.ours++
		p.fail(a.url, err)
		return
	}
	if !p.sameCluster(a.url, a.resp.GetHeader().GetClusterId()) {
		return
	}
	p.ours++
	p.noteCandidate(a.resp)
	v, err := readView(a.resp, p.secure)
	if err != nil {
		p.noLeader = p.noLeader || errors.Is(err, errNoLeader)
		p.fail(a.url, err)
		return
	}
	p.take(a.url, v)
}

// noteCandidate notes who leads etcd but not PD. Only he can be elected; until he is, members name the leader before, or none.
func (p *poll) noteCandidate(resp *pdpb.GetMembersResponse) {
	if resp.GetEtcdLeader().GetMemberId() == resp.GetLeader().GetMemberId() {
		return
	}
	if url, _ := pickURL(resp.GetEtcdLeader().GetClientUrls(), p.secure); url != "" {
		p.candidate = url
	}
}

// take keeps the first view, and the first confirmed one instead.
func (p *poll) take(from string, v view) {
	confirmed := v.has(from)
	if p.best == nil || (confirmed && !p.confirmed) {
		if p.best != nil && p.best.Leader != v.snapshot.Leader {
			p.log.Info("PD members disagree on the leader; believing the one that names itself",
				zap.String("leader", v.snapshot.Leader), zap.String("other", p.best.Leader))
		}
		p.best, p.confirmed = v.snapshot, confirmed
	}
}

func (p *poll) fail(from string, err error) {
	if p.causes == nil {
		p.causes = make(map[string]error)
	}
	p.causes[from] = fmt.Errorf("%s: %w", from, err)
}

// sameCluster reports whether an answer comes from our cluster. Servers too old to send an id are believed.
func (p *poll) sameCluster(from string, id uint64) bool {
	switch {
	case id == 0 || id == p.clusterID:
		return true
	case p.clusterID == 0:
		p.clusterID, p.namedBy = id, from
		return true
	case p.founding:
		p.conflict = fmt.Errorf("%w: %s belongs to cluster %d but %s to cluster %d; give addresses of one cluster",
			ErrClusterMismatch, p.namedBy, p.clusterID, from, id)
		return false
	default:
		p.strangers++
		p.fail(from, fmt.Errorf("it belongs to cluster %d, not to %d", id, p.clusterID))
		p.log.Warn("refusing an address that now belongs to another PD cluster",
			zap.String("url", from), zap.Uint64("theirs", id), zap.Uint64("ours", p.clusterID))
		return false
	}
}

// result ends the round. asked are all addresses, in the order in which they are to be named in an error.
func (p *poll) result(asked []string) (*Snapshot, error) {
	switch {
	case p.conflict != nil:
		return nil, p.conflict
	case p.best != nil:
		p.best.ClusterID = p.clusterID // The answer taken may have come from a member that does not tell it.
		return p.best, nil
	}
	err := &roundError{causes: p.orderedCauses(asked)}
	switch {
	case p.strangers == len(asked), p.thorough && p.strangers > 0 && p.ours == 0:
		err.kind, err.hint = ErrClusterMismatch, "every address that answered belongs to another cluster; check whether they were given to one"
	case p.strangers > 0 && p.ours == 0:
		err.kind, err.hint = ErrUnavailable, "some addresses belong to another cluster now, and the others have not answered yet"
	case p.noLeader:
		err.kind, err.hint = ErrNoLeader, "an election may be going on, or most members are down"
	default:
		err.kind, err.hint = ErrUnavailable, unavailableHint(err.causes)
	}
	return nil, err
}

func (p *poll) orderedCauses(asked []string) []error {
	causes := make([]error, 0, len(asked))
	for _, u := range asked {
		cause, ok := p.causes[u]
		if !ok {
			cause = fmt.Errorf("%s: no answer yet", u)
		}
		causes = append(causes, cause)
	}
	return causes
}
