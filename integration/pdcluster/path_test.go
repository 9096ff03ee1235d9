package pdcluster

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// forwarded asks a member, through its path, for a timestamp that another has to
// grant.
func forwarded(ctx context.Context, c *Cluster, by, to *Member) error {
	u, err := url.Parse(by.AdvertiseURL)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(u.Host, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer conn.Close()
	if by != to {
		ctx = metadata.AppendToOutgoingContext(ctx, "pd-forwarded-host", to.AdvertiseURL)
	}
	stream, err := pdpb.NewPDClient(conn).Tso(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(c.request("global"))
	resp, err := stream.Recv()
	if err == nil {
		_, err = compose(resp)
	}
	return err
}

// A leader whose path is cut must not notice: it keeps its office, and followers
// still reach it.
func TestCluster_PathsAreForClientsOnly(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true, Paths: true})
	leader, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	other := c.Members()[0]
	if other == leader {
		other = c.Members()[1]
	}
	require.NoError(t, forwarded(ctx, c, leader, leader))
	for name, fault := range map[string]func(){"held": leader.Path.Hold, "refused": leader.Path.Refuse} {
		fault()
		begun := time.Now()
		require.NoError(t, forwarded(ctx, c, other, leader), name)
		t.Logf("%s: forwarded in %v", name, time.Since(begun))
		short, cancel := context.WithTimeout(ctx, 2500*time.Millisecond) // some leases
		require.Error(t, forwarded(short, c, leader, leader), name)
		<-short.Done()
		require.NoError(t, forwarded(ctx, c, other, leader), name)
		now, err := c.Leader(ctx)
		require.NoError(t, err)
		require.Equal(t, leader, now, name)
		cancel()
		leader.Path.Heal()
	}
	require.Eventually(t, func() bool { return forwarded(ctx, c, leader, leader) == nil }, 20*time.Second, 20*time.Millisecond)
	require.Positive(t, leader.Path.Members(), "the members go through the path too")
}

func TestConfig_PathsTakeThePlaceOfAdvertisedURLs(t *testing.T) {
	_, err := Start(t.Context(), Config{
		Paths:               true,
		AdvertiseClientURLs: func([]string) ([]string, error) { return nil, errors.New("not called") },
	})
	require.ErrorContains(t, err, "exclude each other")
}
