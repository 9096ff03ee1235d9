// Package site starts the servers that scenarios are measured on, and opens the
// clients that are measured.
package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/scenario"
)

// openTimeout bounds the opening of a client: PD's own takes 5 s, and 6 s more to adopt
// a setting.
const openTimeout = 60 * time.Second

// Lab knows where the sites are.
type Lab struct {
	// PD are the addresses of a PD that is used as scenario.Near; empty starts one.
	PD []string
	// NoPD has tsotest stand for every PD, so that tests of the harness take no time.
	NoPD bool
}

// ErrNoSite says that a site cannot be had with the PD that one was told to use: its
// members name each other by addresses that do not lead through a delaying path.
var ErrNoSite = errors.New("there is no way to put a distance before a PD that is there already")

// Site is a server with its clients, which are opened when they are asked for. Its
// methods are called by one goroutine at a time.
type Site struct {
	addrs   []string
	stop    []func() // undone in reverse
	clients map[scenario.Rival]impl.Client
}

// Open starts what a site needs.
func (l Lab) Open(ctx context.Context, where scenario.Site) (*Site, error) {
	s := &Site{clients: make(map[scenario.Rival]impl.Client)}
	if err := l.start(ctx, s, where); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (l Lab) start(ctx context.Context, s *Site, where scenario.Site) error {
	switch {
	case where == scenario.FakeDCs:
		return s.startFake(ctx, scenario.Locations, 0)
	case where == scenario.Fake, where == scenario.Near && l.NoPD:
		return s.startFake(ctx, 0, 0)
	case l.NoPD:
		return s.startFake(ctx, 0, scenario.FarDelay)
	case where == scenario.Far && len(l.PD) > 0:
		return ErrNoSite
	case len(l.PD) > 0:
		s.addrs = l.PD
		return nil
	}
	return s.startPD(ctx, where == scenario.Far)
}

// Addrs returns the addresses to give to a client.
func (s *Site) Addrs() []string { return s.addrs }

// Prepare opens the clients of the rivals, all at once.
func (s *Site) Prepare(ctx context.Context, rivals []scenario.Rival) error {
	var wanted []scenario.Rival
	for _, r := range rivals {
		r = r.Opening()
		if s.clients[r] == nil && r.Client != "" && !slices.Contains(wanted, r) {
			wanted = append(wanted, r)
		}
	}
	clients, errs := make([]impl.Client, len(wanted)), make([]error, len(wanted))
	var all sync.WaitGroup
	for i, r := range wanted {
		all.Go(func() { clients[i], errs[i] = s.open(ctx, r) })
	}
	all.Wait()
	for i, r := range wanted {
		if errs[i] == nil {
			s.clients[r] = clients[i]
		}
	}
	return errors.Join(errs...)
}

func (s *Site) open(ctx context.Context, r scenario.Rival) (impl.Client, error) {
	bounded, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	client, err := impl.Open(bounded, r.Client, r.Config(s.addrs))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Client, err)
	}
	return client, nil
}

// Client returns the client of a rival; nil for nobody.
func (s *Site) Client(ctx context.Context, r scenario.Rival) (impl.Client, error) {
	if err := s.Prepare(ctx, []scenario.Rival{r}); err != nil {
		return nil, err
	}
	return s.clients[r.Opening()], nil
}

// RTT measures a round trip to the site.
func (s *Site) RTT(ctx context.Context) (time.Duration, error) {
	bare, err := s.Client(ctx, scenario.Bare)
	if err != nil {
		return 0, err
	}
	return scenario.RTT(ctx, bare)
}

// Close closes the clients and stops the server.
func (s *Site) Close() {
	for _, c := range s.clients {
		c.Close()
	}
	for i := len(s.stop) - 1; i >= 0; i-- {
		s.stop[i]()
	}
}
