package member

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pingcap/kvproto/pkg/pdpb"
)

// Snapshot is what is known of the cluster's members at one moment. It is immutable: it may be shared by any number of
// goroutines, and neither the receiver nor this package changes it, or anything it points to, once it is published.
type Snapshot struct {
	// ClusterID is the cluster's id, or 0 if its members are too old to tell.
	ClusterID uint64
	// Leader is the URL of the PD leader. It is never empty.
	Leader string
	// Followers are the URLs of all other members that have one, in the order of their member ids.
	Followers []string
	// Allocators maps each dc-location to the URL of the member that serves its timestamps (Local TSO). The global
	// scope is not in it: that is the leader's.
	Allocators map[string]string
	// Members are the members as PD described them, in the order of their ids.
	Members []*pdpb.Member
	// URLs are all addresses at which a member may be found, sorted: those the members advertise, and the seeds.
	URLs []string
}

const globalScope = "global"

// A PD cluster has three to seven members, and Local TSO at most 16 dc-locations. An answer beyond these limits does
// not describe a cluster; each member costs a connection, so it is not believed.
const (
	maxMembers   = 128
	maxURLs      = 512
	maxLocations = 512
)

var (
	errEmptyList   = errors.New("its member list is empty")
	errNoLeader    = errors.New("it knows no leader")
	errLeaderNoURL = errors.New("the leader it names has no usable client URL")
)

// view is one member's answer, read: a snapshot, still without seeds, and every URL of the leader it names.
type view struct {
	snapshot   *Snapshot
	leaderURLs []string
}

// has reports whether url is one of the named leader's.
func (v view) has(url string) bool {
	return slices.Contains(v.leaderURLs, url)
}

// readView turns an answer into a view. The error says why the answer is not believed.
func readView(resp *pdpb.GetMembersResponse, secure bool) (view, error) {
	if err := checkSize(resp); err != nil {
		return view{}, err
	}
	members := sortedMembers(resp.GetMembers())
	if len(members) == 0 {
		return view{}, errEmptyList
	}
	if resp.GetLeader() == nil {
		return view{}, errNoLeader
	}
	leader, leaderURLs := pickURL(resp.GetLeader().GetClientUrls(), secure)
	if leader == "" {
		return view{}, errLeaderNoURL
	}
	s := &Snapshot{
		ClusterID:  resp.GetHeader().GetClusterId(),
		Leader:     leader,
		Allocators: make(map[string]string),
		Members:    members,
		URLs:       slices.Clone(leaderURLs),
	}
	s.addFollowers(members, leaderURLs, secure)
	s.addAllocators(resp.GetTsoAllocatorLeaders(), secure)
	if len(s.URLs) > maxURLs {
		return view{}, fmt.Errorf("it lists %d client URLs, more than any cluster has", len(s.URLs))
	}
	return view{snapshot: s, leaderURLs: leaderURLs}, nil
}

func checkSize(resp *pdpb.GetMembersResponse) error {
	if n := len(resp.GetMembers()); n > maxMembers {
		return fmt.Errorf("it lists %d members, more than any cluster has", n)
	}
	if n := len(resp.GetTsoAllocatorLeaders()); n > maxLocations {
		return fmt.Errorf("it lists %d dc-locations, more than any cluster has", n)
	}
	return nil
}

// sortedMembers orders by id, because members list each other in an order of their own and the same cluster must give
// the same snapshot whoever answered.
func sortedMembers(members []*pdpb.Member) []*pdpb.Member {
	members = slices.DeleteFunc(slices.Clone(members), func(m *pdpb.Member) bool { return m == nil })
	slices.SortStableFunc(members, func(a, b *pdpb.Member) int {
		return cmp.Or(cmp.Compare(a.GetMemberId(), b.GetMemberId()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return members
}

// addFollowers takes every member that is not the leader. One without client URLs has not started yet; one listed
// twice, or under the leader's address, counts once.
func (s *Snapshot) addFollowers(members []*pdpb.Member, leaderURLs []string, secure bool) {
	for _, m := range members {
		picked, all := pickURL(m.GetClientUrls(), secure)
		s.URLs = append(s.URLs, all...)
		if picked != "" && !slices.Contains(leaderURLs, picked) && !slices.Contains(s.Followers, picked) {
			s.Followers = append(s.Followers, picked)
		}
	}
}

func (s *Snapshot) addAllocators(allocators map[string]*pdpb.Member, secure bool) {
	for location, m := range allocators {
		picked, all := pickURL(m.GetClientUrls(), secure)
		if location == "" || location == globalScope || picked == "" {
			continue
		}
		s.Allocators[location] = picked
		s.URLs = append(s.URLs, all...)
	}
}

// complete adds the seeds, which are never forgotten: when all members move to other addresses at once, the seeds,
// often a name that always leads to some member, are the only way back. Called before the snapshot is published.
func (s *Snapshot) complete(seeds []string) {
	s.URLs = append(s.URLs, seeds...)
	slices.Sort(s.URLs)
	s.URLs = slices.Compact(s.URLs)
}

func (s *Snapshot) equal(o *Snapshot) bool {
	return s.ClusterID == o.ClusterID && s.Leader == o.Leader &&
		slices.Equal(s.Followers, o.Followers) &&
		maps.Equal(s.Allocators, o.Allocators) &&
		slices.Equal(s.URLs, o.URLs) &&
		slices.EqualFunc(s.Members, o.Members, sameMember)
}

// sameMember compares the wire form: the struct also holds bookkeeping of the protobuf library.
func sameMember(a, b *pdpb.Member) bool {
	left, err := a.Marshal()
	if err != nil {
		return false
	}
	right, err := b.Marshal()
	return err == nil && bytes.Equal(left, right)
}
