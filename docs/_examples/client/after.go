package main

import (
	"context"

	"github.com/tikv/pd/client/opt"

	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

// connect returns a client of the same type, whose timestamps come from tso.
func connect(ctx context.Context, addrs []string) (pd.Client, error) {
	return pd.NewClientWithContext(ctx, "my-program", addrs, pd.SecurityOption{}, opt.WithForwardingOption(true))
}

// wrap does the same to a client that is there already.
func wrap(client pd.Client, addrs []string) (pd.Client, error) {
	return pd.Wrap(client, addrs, pd.SecurityOption{}, opt.WithForwardingOption(true))
}
