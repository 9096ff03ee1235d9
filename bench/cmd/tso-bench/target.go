package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/text"
	"github.com/tsoring/tso/tsotest"
)

// target is the server that the client goes to.
type target struct {
	addrs    []string
	embedded *tsotest.Server // nil if the server is a real PD
}

// newTarget starts a server in this process unless PD's address is known.
func newTarget(cfg config) (target, error) {
	if len(cfg.pd) > 0 {
		return target{addrs: cfg.pd}, nil
	}
	var opts []tsotest.Option
	if cfg.dc != "" && cfg.dc != "global" {
		opts = append(opts, tsotest.WithDCs(cfg.dc))
	}
	server, err := tsotest.Start(opts...)
	if err != nil {
		return target{}, fmt.Errorf("the embedded server did not start: %w", err)
	}
	return target{addrs: server.URLs(), embedded: server}, nil
}

func (t target) close() {
	if t.embedded != nil {
		t.embedded.Close()
	}
}

func (t target) String() string {
	if t.embedded != nil {
		return "the embedded server"
	}
	hosts := make([]string, len(t.addrs))
	for i, addr := range t.addrs {
		hosts[i] = cmp.Or(text.Host(addr), addr)
	}
	return "PD at " + strings.Join(hosts, ", ")
}

// connect opens the client and obtains a first timestamp, which shows that all
// of the way to it works.
func connect(ctx context.Context, cfg config, to target) (impl.Client, uint64, error) {
	bounded, cancel := context.WithTimeout(ctx, cfg.connectTimeout)
	defer cancel()
	client, err := impl.Open(bounded, cfg.impl, cfg.client(to.addrs))
	if err != nil {
		return nil, 0, unreachable(ctx, bounded, cfg, to, err)
	}
	// The bare stream ends a call when it is closed, and no sooner.
	giveUp := context.AfterFunc(bounded, client.Close)
	physical, logical, err := client.GetTS(bounded)
	if err == nil && !giveUp() {
		err = bounded.Err()
	}
	if err != nil {
		client.Close()
		return nil, 0, unreachable(ctx, bounded, cfg, to, err)
	}
	return client, tso.ComposeTS(physical, logical), nil
}

// unreachable says why there is no first timestamp, in a line.
func unreachable(ctx, bounded context.Context, cfg config, to target, err error) error {
	why := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted before the first timestamp")
	case bounded.Err() != nil:
		return fmt.Errorf("no timestamp from %v within %v (%s); is it running, and is this its client address?", to, cfg.connectTimeout, why)
	}
	return fmt.Errorf("no timestamp from %v: %s", to, why)
}
