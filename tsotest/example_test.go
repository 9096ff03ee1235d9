package tsotest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/tsoring/tso/tsotest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// connect opens a timestamp stream to one member. A program would use a client
// that finds the leader by itself; here every step is visible.
func connect(s *tsotest.Server, url string) (pdpb.PD_TsoClient, func(), error) {
	conn, err := grpc.NewClient(url[len("http://"):],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(s.Dialer()))
	if err != nil {
		return nil, nil, err
	}
	stream, err := pdpb.NewPDClient(conn).Tso(context.Background())
	return stream, func() { _ = conn.Close() }, err
}

func Example() {
	s, err := tsotest.Start(tsotest.WithMembers(3))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	stream, disconnect, err := connect(s, s.URL(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer disconnect()

	request := &pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: s.ClusterID()}, Count: 10}
	_ = stream.Send(request)
	resp, err := stream.Recv()
	fmt.Println("timestamps:", resp.GetCount(), "error:", err)

	_ = s.MoveLeader(1)
	_ = stream.Send(request)
	_, err = stream.Recv()
	fmt.Println(status.Convert(err).Message())
	// Output:
	// timestamps: 10 error: <nil>
	// [PD:tso:ErrGenerateTimestamp]generate timestamp failed, requested pd is not leader of cluster
}

// The third request finds PD slow, the fourth finds it gone.
func ExampleServer_Script() {
	s, err := tsotest.Start(tsotest.WithBufconn())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	s.Script(func(r tsotest.Request) tsotest.Reply {
		switch r.Total {
		case 3:
			return tsotest.Reply{Delay: 20 * time.Millisecond}
		case 4:
			return tsotest.Reply{Err: tsotest.ErrNotStarted()}
		default:
			return tsotest.Reply{}
		}
	})
	stream, disconnect, err := connect(s, s.URL(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer disconnect()
	for range 4 {
		_ = stream.Send(&pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: s.ClusterID()}, Count: 1})
		resp, err := stream.Recv()
		fmt.Println(resp.GetCount(), status.Code(err))
	}
	fmt.Println(s.Stats().Requests, "requests")
	// Output:
	// 1 OK
	// 1 OK
	// 1 OK
	// 0 Unavailable
	// 4 requests
}
