package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tsoring/tso/internal/etcdwatch"
)

// Clients of a crowd that only shows what something costs PD; they are never called.
const (
	// Nobody does nothing, for comparison.
	Nobody = "nobody"
	// Watching watches the leader's key at one of the followers.
	Watching = "watching"
)

// watchOpening bounds the beginning of a watch, of which many begin at once.
const watchOpening = time.Minute

// CrowdWatching has a number of watches of the leader's key of which none is told anything
// for a while.
func CrowdWatching(count, groups int, d time.Duration) Crowd {
	c := CrowdAtRest(count, groups, d)
	c.Name = fmt.Sprintf("%d idle watches for %v", count, d)
	c.kinds = []string{Nobody, Watching}
	return c
}

type nobody struct{}

func (nobody) get(context.Context, string) (physical, logical int64, err error) {
	return 0, 0, errors.ErrUnsupported
}

func (nobody) close() {}

// watching is a watch on a connection of its own.
type watching struct {
	nobody
	conn    *grpc.ClientConn
	stream  *etcdwatch.Stream
	running sync.WaitGroup
}

func openWatching(urls []string, o Options) (client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), watchOpening)
	defer cancel()
	list, err := listFrom(ctx, urls[rand.IntN(len(urls))], o)
	if err != nil {
		return nil, err
	}
	followers := followersOf(list)
	if len(followers) == 0 {
		return nil, errors.New("faults: there is no follower")
	}
	w := new(watching)
	if w.conn, err = dial(followers[rand.IntN(len(followers))], o); err != nil {
		return nil, err
	}
	if err := w.begin(ctx, fmt.Sprintf("/pd/%d/leader", list.GetHeader().GetClusterId())); err != nil {
		_ = w.conn.Close()
		return nil, err
	}
	return w, nil
}

func listFrom(ctx context.Context, member string, o Options) (*pdpb.GetMembersResponse, error) {
	conn, err := dial(member, o)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return pdpb.NewPDClient(conn).GetMembers(ctx, &pdpb.GetMembersRequest{})
}

func followersOf(list *pdpb.GetMembersResponse) (urls []string) {
	for _, m := range list.GetMembers() {
		if m.GetMemberId() != list.GetLeader().GetMemberId() {
			urls = append(urls, m.GetClientUrls()...)
		}
	}
	return urls
}

func dial(member string, o Options) (*grpc.ClientConn, error) {
	u, err := url.Parse(member)
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(u.Host, append(o.dialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

// begin returns once the member says that it watches a key.
func (w *watching) begin(ctx context.Context, key string) error {
	now, err := etcdwatch.Range(ctx, w.conn, []string{key})
	if err != nil {
		return err
	}
	if w.stream, err = etcdwatch.Watch(context.Background(), w.conn, now); err != nil {
		return err
	}
	begun := make(chan error, 1)
	w.running.Go(func() {
		_, err := w.stream.Next()
		begun <- err
		for err == nil {
			_, err = w.stream.Next()
		}
	})
	select {
	case err = <-begun:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		w.stream.Close()
		w.running.Wait()
	}
	return err
}

func (w *watching) close() {
	w.stream.Close()
	_ = w.conn.Close()
	w.running.Wait()
}
