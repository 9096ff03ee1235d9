package site

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tsoring/tso/bench/internal/child"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/integration/pdcluster"
)

// startFake starts tsotest in a process of its own.
func (s *Site) startFake(ctx context.Context, locations int, latency time.Duration) error {
	p, err := child.Start(ctx, roleServer, strconv.Itoa(locations), latency.String())
	if err != nil {
		return err
	}
	s.stop = append(s.stop, func() { _ = p.Close() }) // it was only for us
	s.addrs = strings.Split(p.Line, ",")
	return nil
}

// startPD starts a PD with its own timing: what shortens an election costs CPU time.
// One that is far says that it is at the other end of the delaying path, so that
// clients find their way through it by themselves: a dialer that led them there would
// take the place of their own.
func (s *Site) startPD(ctx context.Context, far bool) error {
	var cfg pdcluster.Config
	if far {
		cfg.AdvertiseClientURLs = func(urls []string) ([]string, error) { return s.delay(ctx, urls) }
	}
	cluster, err := pdcluster.Start(ctx, cfg)
	if err != nil {
		return err
	}
	s.stop = append(s.stop, func() { _ = cluster.Close() })
	s.addrs = cluster.ClientURLs()
	return nil
}

// delay starts a path to each URL and returns the URLs of the paths.
func (s *Site) delay(ctx context.Context, urls []string) ([]string, error) {
	const scheme = "http://"
	var paths []string
	for _, url := range urls {
		p, err := child.Start(ctx, rolePath, strings.TrimPrefix(url, scheme), scenario.FarDelay.String())
		if err != nil {
			return nil, err
		}
		s.stop = append(s.stop, func() { _ = p.Close() })
		paths = append(paths, scheme+p.Line)
	}
	return paths, nil
}
