package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/integration/pdcluster"
)

// connectTimeout bounds the opening of a client.
const connectTimeout = 30 * time.Second

// compare measures, and prints the table of what it has come to, even when it is
// interrupted.
func compare(ctx context.Context, cfg config, out, progress io.Writer) error {
	addrs, stop, err := server(ctx, cfg, progress)
	if err != nil {
		return err
	}
	defer stop()
	clients, err := open(ctx, cfg, addrs)
	if err != nil {
		return err
	}
	defer closeAll(clients)

	results, err := measure(ctx, cfg, clients, progress)
	if len(results) > 0 {
		fmt.Fprintf(out, "%s\n%s\n%s\n\n%s\n%s", cfg.describe(), machine(), versions(), render(cfg, results), failures(results))
	}
	if cfg.json != "" {
		err = errors.Join(err, writeJSON(cfg, results))
	}
	return err
}

// server returns the addresses of the PD to use, and starts one if there is none.
// PD runs with its own timing: what shortens an election costs CPU time.
func server(ctx context.Context, cfg config, progress io.Writer) (addrs []string, stop func(), err error) {
	if len(cfg.pd) > 0 {
		return cfg.pd, func() {}, nil
	}
	fmt.Fprintln(progress, "starting a PD (which is built the first time)")
	cluster, err := pdcluster.Start(ctx, pdcluster.Config{})
	if err != nil {
		return nil, nil, err
	}
	return cluster.ClientURLs(), func() { _ = cluster.Close() }, nil // it was only for us
}

// open opens all clients. Those whose turn it is not are idle.
func open(ctx context.Context, cfg config, addrs []string) (map[string]impl.Client, error) {
	clients := make(map[string]impl.Client)
	for _, name := range cfg.impls {
		bounded, cancel := context.WithTimeout(ctx, connectTimeout)
		client, err := impl.Open(bounded, name, impl.Config{Addrs: addrs})
		cancel()
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		clients[name] = client
	}
	return clients, nil
}

func closeAll(clients map[string]impl.Client) {
	for _, c := range clients {
		c.Close()
	}
}

// machine says what absolute numbers depend on.
func machine() string {
	return fmt.Sprintf("%s %s/%s, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
}

// versions says which releases of what others have written take part.
func versions() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "versions unknown"
	}
	var found []string
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/tikv/pd/client", "google.golang.org/grpc":
			found = append(found, module.Path+" "+module.Version)
		}
	}
	return strings.Join(found, ", ")
}
