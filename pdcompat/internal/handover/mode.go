package handover

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// mode is who grants timestamps in a cluster.
type mode int8

const (
	unknown mode = iota
	byPD
	serviceOfItsOwn
	unaware // a PD older than the service, which grants them itself
)

// ownService is why upstream serves where TSO is a service of its own.
const ownService = "TSO is a service of its own in this cluster, with keyspace groups, which PD's own client knows"

// lookTimeout bounds a question for the mode.
const lookTimeout = time.Second

// look asks the leader who grants timestamps. While a cluster changes its mode member by
// member they say different things, and the leader's word is what upstream goes by as well.
//
// Where TSO is a service of its own, each member answers on a TSO stream, not the leader alone.
// Ours may be served by another one then, and hear nothing of a new leader. So if the leader
// says nothing, any member that ours has had a stream to is believed, but only that it is so.
func (h *Handover) look(ctx context.Context) mode {
	_, leader, _ := strings.Cut(h.client.GetLeaderAddr(), "://")
	id := h.client.GetClusterID(ctx)
	var others []*grpc.ClientConn
	for _, conn := range h.conns.all() {
		if leader == "" || !strings.HasSuffix(conn.Target(), "/"+leader) {
			others = append(others, conn)
			continue
		}
		switch m := askMode(ctx, conn, id); {
		case m == byPD, m == serviceOfItsOwn:
			h.aware = true
			return m
		case m == unaware && !h.aware: // a cluster does not become older; it is something else that answers
			return byPD
		}
	}
	for _, conn := range others {
		if askMode(ctx, conn, id) == serviceOfItsOwn {
			h.aware = true
			return serviceOfItsOwn
		}
	}
	return unknown
}

// firstLook waits for ours to have opened its first stream, and asks PD then.
func (h *Handover) firstLook(ctx context.Context) mode {
	timer := time.NewTimer(lookTimeout)
	defer timer.Stop()
	select {
	case <-h.nudged:
	case <-timer.C:
	case <-ctx.Done():
	}
	return h.look(ctx)
}

// askMode asks the member at the other end, which may be one of any cluster if the id is 0.
func askMode(ctx context.Context, conn *grpc.ClientConn, clusterID uint64) mode {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	info, err := pdpb.NewPDClient(conn).GetClusterInfo(ctx, &pdpb.GetClusterInfoRequest{})
	switch modes := info.GetServiceModes(); {
	case status.Code(err) == codes.Unimplemented:
		return unaware
	case err != nil, info.GetHeader().GetError() != nil, len(modes) == 0:
		return unknown // not started, for one
	case clusterID != 0 && info.GetHeader().GetClusterId() != clusterID:
		return unknown
	case modes[0] == pdpb.ServiceMode_API_SVC_MODE:
		return serviceOfItsOwn
	case modes[0] == pdpb.ServiceMode_PD_SVC_MODE:
		return byPD
	default:
		return unknown
	}
}

// connections are those of ours that TSO streams were opened on last, the latest first.
type connections struct {
	mu   sync.Mutex
	list []*grpc.ClientConn
}

// maxConnections is how many are kept: those of a large cluster's members, which ours has
// when it spreads requests over all, and some that it tried and has not kept.
const maxConnections = 16

func (c *connections) add(conn *grpc.ClientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.DeleteFunc(c.list, func(other *grpc.ClientConn) bool { return other == conn })
	c.list = slices.Insert(list, 0, conn)
	c.list = c.list[:min(len(c.list), maxConnections)]
}

// all returns those that are not closed.
func (c *connections) all() []*grpc.ClientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = slices.DeleteFunc(c.list, func(conn *grpc.ClientConn) bool { return conn.GetState() == connectivity.Shutdown })
	return slices.Clone(c.list)
}

// learn is ours' stream interceptor: it remembers the connection, and has the mode looked
// at, as PD changes it by ending all streams.
func (h *Handover) learn(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	streamer grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, desc, conn, method, opts...)
	if err == nil && method == tsoMethod {
		h.conns.add(conn)
		h.nudge()
	}
	return stream, err
}

func (h *Handover) nudge() { wake(h.nudged) }
