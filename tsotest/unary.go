package tsotest

import (
	"context"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
)

// service is a member's side of PD's gRPC service. What a timestamp client has
// no use for is Unimplemented.
type service struct {
	pdpb.UnimplementedPDServer
	member *member
}

// GetMembers answers without looking at the cluster id, as PD does: a client
// asks it to learn the id.
func (v *service) GetMembers(context.Context, *pdpb.GetMembersRequest) (*pdpb.GetMembersResponse, error) {
	m, s := v.member, v.member.server
	m.getMembers.Add(1)
	resp := s.topology.Load().response(s.conf.clusterID)
	if f := s.memberScript.Load(); f != nil {
		if err := (*f)(m.index, resp); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// GetClusterInfo says who serves timestamps; see SetServiceMode.
func (v *service) GetClusterInfo(context.Context, *pdpb.GetClusterInfoRequest) (*pdpb.GetClusterInfoResponse, error) {
	return &pdpb.GetClusterInfoResponse{
		Header:       &pdpb.ResponseHeader{ClusterId: v.member.server.conf.clusterID},
		ServiceModes: []pdpb.ServiceMode{pdpb.ServiceMode(v.member.server.serviceMode.Load())},
	}, nil
}

// intercept lets unary calls suffer from latency and Hold like timestamps do.
// The answer is made afterwards, so one that was held shows the members of now.
func (m *member) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := m.gate.pass(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}
