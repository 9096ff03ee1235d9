package main

import (
	"context"

	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"
)

// connectAsBefore returns PD's own client.
func connectAsBefore(ctx context.Context, addrs []string) (pd.Client, error) {
	return pd.NewClientWithContext(ctx, "my-program", addrs, pd.SecurityOption{}, opt.WithForwardingOption(true))
}
