package tsotest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestServer_Timestamps(t *testing.T) {
	s := New(t)
	st := openStream(t, s, 0)
	var last uint64
	for _, n := range []uint32{1, 2, 10, 10_000, 100_000, 262_143, 1} {
		for _, ts := range st.get("global", n) {
			if ts <= last { // 372,157 times: too often for require
				t.Fatalf("%d after %d", ts, last)
			}
			last = ts
		}
	}
	now := time.Now().UnixMilli()
	require.InDelta(t, now, last>>logicalBits, 5000)

	stats := s.Stats()
	require.EqualValues(t, 7, stats.Requests)
	require.EqualValues(t, 1+2+10+10_000+100_000+262_143+1, stats.Timestamps)
	require.EqualValues(t, 1, stats.Streams)
	require.EqualValues(t, 1, stats.Conns)
	require.Equal(t, 1, stats.Members[0].OpenStreams)
	require.Equal(t, last, stats.Largest["global"])
}

func TestServer_GetMembers(t *testing.T) {
	s := New(t, WithMembers(3), WithDCs("dc-1", "dc-2"), WithClusterID(42))
	require.NoError(t, s.MoveLeader(2))
	require.NoError(t, s.MoveAllocator("dc-1", 1))
	c := pdpb.NewPDClient(connect(t, s, 0))
	resp, err := c.GetMembers(context.Background(), &pdpb.GetMembersRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 42, resp.Header.ClusterId)
	require.Len(t, resp.Members, 3)
	require.Equal(t, s.URL(2), resp.Leader.ClientUrls[0])
	require.Equal(t, s.URL(2), resp.EtcdLeader.ClientUrls[0])
	require.Equal(t, s.URL(1), resp.TsoAllocatorLeaders["dc-1"].ClientUrls[0])
	require.Equal(t, s.URL(1), resp.TsoAllocatorLeaders["dc-2"].ClientUrls[0])
	require.Equal(t, "dc-1", resp.Members[0].DcLocation)
	require.Equal(t, "dc-2", resp.Members[1].DcLocation)

	s.DropLeader()
	require.NoError(t, s.RemoveDC("dc-2"))
	require.NoError(t, s.RemoveMember(1))
	resp, err = c.GetMembers(context.Background(), &pdpb.GetMembersRequest{})
	require.NoError(t, err)
	require.Nil(t, resp.Leader)
	require.Len(t, resp.Members, 2)
	require.Empty(t, resp.TsoAllocatorLeaders, "its leader is gone")
	require.EqualValues(t, 2, s.Stats().GetMembers)

	info, err := c.GetClusterInfo(context.Background(), &pdpb.GetClusterInfoRequest{})
	require.NoError(t, err)
	require.Equal(t, []pdpb.ServiceMode{pdpb.ServiceMode_PD_SVC_MODE}, info.ServiceModes)
}

func TestServer_ErrorsOfPD(t *testing.T) {
	s := New(t, WithMembers(2), WithDCs("dc-1", "dc-2"))
	requireStatus := func(err error, code codes.Code, text string) {
		t.Helper()
		require.Equal(t, code, status.Code(err))
		require.Equal(t, text, status.Convert(err).Message())
	}
	requireStatus(openStream(t, s, 1).fails(""), codes.Unknown,
		"[PD:tso:ErrGenerateTimestamp]generate timestamp failed, requested pd is not leader of cluster")
	requireStatus(openStream(t, s, 1).fails("dc-1"), codes.Unknown,
		"[PD:tso:ErrGenerateTimestamp]generate timestamp failed, requested pd is not leader of dc-1 allocator")
	requireStatus(openStream(t, s, 0).fails("dc-9"), codes.Unknown,
		"[PD:tso:ErrGetAllocator]get allocator failed, dc-9 allocator not found, generate timestamp failed")

	st := openStream(t, s, 0)
	require.NoError(t, st.Send(&pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: 5}, Count: 1}))
	_, err := st.Recv()
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	require.ErrorContains(t, err, "mismatch cluster id, need 7300000000000000001 but got 5")

	st = openStream(t, s, 0)
	st.ask("", 0)
	_, err = st.Recv()
	require.ErrorContains(t, err, "tso count should be positive")
}

func TestServer_Forwarding(t *testing.T) {
	s := New(t, WithMembers(3))
	st := openStream(t, s, 1, s.URL(0))
	st.get("", 5)
	require.NoError(t, s.MoveLeader(2))
	require.ErrorContains(t, st.fails(""), "is not leader of cluster")

	err := openStream(t, s, 1, s.URL(0)).fails("")
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "is not leader")

	_, bare, _ := strings.Cut(s.URL(2), "://")
	st = openStream(t, s, 1, bare) // PD does not look at the scheme
	st.get("", 1)
	require.NoError(t, s.StopMember(2))
	_, err = st.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))

	stats := s.Stats()
	require.EqualValues(t, 6, stats.Members[1].Timestamps)
	require.Zero(t, stats.Members[0].Requests)
}

// TestServer_UniqueOverScopes takes batches of all scopes from many streams and
// computes every timestamp as a client does.
func TestServer_UniqueOverScopes(t *testing.T) {
	s := New(t, WithMembers(3), WithDCs("dc-1", "dc-2", "dc-3"), WithBufconn())
	var mu sync.Mutex
	seen := map[uint64]string{}
	var wg sync.WaitGroup
	for i := range 8 {
		dc, lead := "global", 0
		if i%4 > 0 {
			dc, lead = []string{"dc-1", "dc-2", "dc-3"}[i%4-1], i%4-1
		}
		st := openStream(t, s, lead)
		wg.Go(func() {
			for n := range uint32(200) {
				all := st.get(dc, n%50+1)
				mu.Lock()
				for _, ts := range all {
					if was, twice := seen[ts]; twice {
						t.Errorf("%d of %s was handed out to %s", ts, dc, was)
					}
					seen[ts] = dc
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, len(seen), s.Stats().Timestamps)
}

func TestServer_GlobalAndLocalAreOrdered(t *testing.T) {
	s := New(t, WithDCs("dc-1", "dc-2"), WithBufconn())
	st := openStream(t, s, 0)
	var last uint64
	for range 200 {
		for _, dc := range []string{"dc-1", "global", "dc-2", "global"} {
			all := st.get(dc, 3)
			require.Greater(t, all[0], last, dc)
			last = all[2]
		}
	}
}

func TestServer_Health(t *testing.T) {
	s := New(t, WithMembers(2))
	h := grpc_health_v1.NewHealthClient(connect(t, s, 1))
	check := func() grpc_health_v1.HealthCheckResponse_ServingStatus {
		resp, err := h.Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
		require.NoError(t, err)
		return resp.Status
	}
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, check())
	require.NoError(t, s.SetServing(1, false))
	require.Equal(t, grpc_health_v1.HealthCheckResponse_NOT_SERVING, check())
	require.NoError(t, s.SetServing(1, true))
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, check())
}

func TestServer_TLS(t *testing.T) {
	for _, opts := range [][]Option{{}, {WithBufconn()}} {
		s := New(t, append(opts, WithMembers(2), WithTLS(serverTLS(t)))...)
		require.True(t, strings.HasPrefix(s.URL(0), "https://"))
		openStream(t, s, 0).get("", 3)
	}
}

func TestServer_CloseUnblocks(t *testing.T) {
	s := New(t)
	require.NoError(t, s.Hold())
	var streams []*raw
	for range 50 {
		st := openStream(t, s, 0)
		st.ask("", 1)
		streams = append(streams, st)
	}
	start := time.Now()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(s.Close)
	}
	wg.Wait()
	for _, st := range streams {
		_, err := st.Recv()
		require.Error(t, err)
	}
	require.Less(t, time.Since(start), 3*time.Second)
	_, err := s.AddMember()
	require.ErrorIs(t, err, errClosed)
	require.ErrorIs(t, s.StartMember(0), errClosed)
}

func TestStart_BadOptions(t *testing.T) {
	for name, opt := range map[string]Option{
		"members": WithMembers(0), "many": WithMembers(251), "clock": WithClock(nil),
		"twice": WithDCs("a", "a"), "reserved": WithDCs("global"), "empty": WithDCs(""),
		"suffixes": WithDCs("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"),
	} {
		s, err := Start(opt)
		require.Error(t, err, name)
		require.Nil(t, s, name)
	}
}

// serverTLS returns a certificate for the addresses a server may choose.
func serverTLS(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tsotest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func clientTLS(s *Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.conf.tls.Certificates[0].Leaf)
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}
