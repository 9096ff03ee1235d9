package tsotest

import (
	"context"
	"fmt"
	"testing"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
)

// BenchmarkTso is one stream with some requests in flight, over loopback, by a
// client that reuses its messages: what is left is grpc-go and the server.
func BenchmarkTso(b *testing.B) {
	for _, inFlight := range []int{1, 16} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
			s := New(b)
			conn := connect(b, s, 0)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			st, err := pdpb.NewPDClient(conn).Tso(ctx, grpc.ForceCodecV2(newCodec()))
			if err != nil {
				b.Fatal(err)
			}
			req := &pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: s.ClusterID()}, Count: 100}
			room := make(chan struct{}, inFlight)
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				for range b.N {
					room <- struct{}{}
					if st.Send(req) != nil {
						return
					}
				}
			}()
			for range b.N {
				if _, err := st.Recv(); err != nil {
					b.Fatal(err)
				}
				<-room
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

func BenchmarkOracle(b *testing.B) {
	s := New(b, WithBufconn())
	b.ReportAllocs()
	for range b.N {
		if _, err := s.oracle.next(s.oracle.global, 100); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart is a server's whole life without clients.
func BenchmarkStart(b *testing.B) {
	for range b.N {
		s, err := Start(WithMembers(3))
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
