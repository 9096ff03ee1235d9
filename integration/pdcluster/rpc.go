package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// rpcTimeout bounds a single question to a member, which may be frozen.
const rpcTimeout = 2 * time.Second

// ask calls do with a client on a fresh connection to where m listens, past any
// proxy. A connection that is kept would carry the state of earlier faults.
func (m *Member) ask(ctx context.Context, do func(context.Context, pdpb.PDClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	conn, err := m.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(ctx, pdpb.NewPDClient(conn))
}

func (m *Member) dial(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return m.cluster.dial(m.ClientURL, opts...)
}

func (c *Cluster) dial(server string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	transport := insecure.NewCredentials()
	if c.TLS != nil {
		config, err := c.TLS.Config()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	opts = append(opts, grpc.WithTransportCredentials(transport), grpc.WithNoProxy())
	return grpc.NewClient(u.Host, opts...)
}

// members returns what m knows about the cluster.
func (m *Member) members(ctx context.Context) (resp *pdpb.GetMembersResponse, err error) {
	err = m.ask(ctx, func(ctx context.Context, client pdpb.PDClient) error {
		resp, err = client.GetMembers(ctx, &pdpb.GetMembersRequest{})
		return errors.Join(err, headerError(resp.GetHeader()))
	})
	if err == nil {
		m.cluster.clusterID.Store(resp.GetHeader().GetClusterId())
	}
	return resp, err
}

// Timestamp asks the member itself for one timestamp of a dc-location, or of
// the global scope if dc is empty, on a fresh connection and without retry: a
// probe of whether it serves now. Only the leader, or the dc-location's
// allocator leader, can answer.
func (m *Member) Timestamp(ctx context.Context, dc string) (uint64, error) {
	if dc == "" {
		dc = "global"
	}
	var t uint64
	err := m.ask(ctx, func(ctx context.Context, client pdpb.PDClient) error {
		stream, err := client.Tso(ctx)
		if err != nil {
			return err
		}
		// An error of Send is the stream's, which Recv tells.
		_ = stream.Send(m.cluster.request(dc))
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		t, err = compose(resp)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("pdcluster: timestamp of %s from %s: %w", dc, m.Name, err)
	}
	return t, nil
}

// Relay has m pass a question on to another member, on a stream that lasts until the
// function that is returned is called.
func (m *Member) Relay(ctx context.Context, to *Member) (end func(), err error) {
	conn, err := m.dial()
	if err != nil {
		return nil, err
	}
	a := asker{conn: conn, request: m.cluster.request("global")}
	end = func() {
		a.drop()
		_ = conn.Close()
	}
	if err := a.ask(metadata.AppendToOutgoingContext(ctx, "pd-forwarded-host", to.AdvertiseURL)); err != nil {
		end()
		return nil, fmt.Errorf("pdcluster: timestamp of %s through %s: %w", to.Name, m.Name, err)
	}
	return end, nil
}

// request asks for one timestamp.
func (c *Cluster) request(dc string) *pdpb.TsoRequest {
	return &pdpb.TsoRequest{Header: c.header(), Count: 1, DcLocation: dc}
}

func (c *Cluster) header() *pdpb.RequestHeader {
	return &pdpb.RequestHeader{ClusterId: c.clusterID.Load()}
}

// headerError returns what a member says is wrong.
func headerError(header *pdpb.ResponseHeader) error {
	if e := header.GetError(); e != nil {
		return errors.New(e.String())
	}
	return nil
}

func compose(resp *pdpb.TsoResponse) (uint64, error) {
	ts := resp.GetTimestamp()
	if resp.GetHeader().GetError() != nil || ts.GetPhysical() <= 0 || resp.GetCount() != 1 {
		return 0, fmt.Errorf("bad response %v", resp)
	}
	return uint64(ts.GetPhysical())<<18 | uint64(ts.GetLogical()), nil
}
