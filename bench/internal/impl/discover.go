package impl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// place is where the bare stream goes.
type place struct {
	clusterID uint64
	leader    string // URL of the PD leader
	serves    string // URL of the member that grants the timestamps
}

// discover asks the addresses in turn, once each.
func discover(ctx context.Context, cfg Config, dial grpc.DialOption) (place, error) {
	var failed []error
	for _, addr := range cfg.Addrs {
		p, err := ask(ctx, addr, cfg.DC, dial)
		if err == nil {
			return p, nil
		}
		failed = append(failed, fmt.Errorf("bare: %s: %w", addr, err))
	}
	return place{}, errors.Join(failed...)
}

// ask asks one member where to go.
func ask(ctx context.Context, addr, dc string, dial grpc.DialOption) (place, error) {
	conn, err := grpc.NewClient(target(addr), dial)
	if err != nil {
		return place{}, err
	}
	defer conn.Close()
	members, err := pdpb.NewPDClient(conn).GetMembers(ctx, &pdpb.GetMembersRequest{})
	if err != nil {
		return place{}, err
	}
	leader := firstURL(members.GetLeader())
	p := place{clusterID: members.GetHeader().GetClusterId(), leader: leader, serves: leader}
	if dc != "" {
		p.serves = firstURL(members.GetTsoAllocatorLeaders()[dc])
	}
	if p.serves == "" {
		return place{}, fmt.Errorf("no member is known to serve dc-location %q", dc)
	}
	return p, nil
}

func firstURL(m *pdpb.Member) string {
	if urls := m.GetClientUrls(); len(urls) > 0 {
		return urls[0]
	}
	return ""
}

// target makes a gRPC target of an address or URL.
func target(addr string) string {
	if _, rest, isURL := strings.Cut(addr, "://"); isURL {
		addr = rest
	}
	return "passthrough:///" + addr
}

// dialOption returns the only option a connection cannot do without.
func dialOption(cfg Config) (grpc.DialOption, error) {
	if cfg.CAPath == "" {
		return grpc.WithTransportCredentials(insecure.NewCredentials()), nil
	}
	pem, err := os.ReadFile(cfg.CAPath)
	if err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("bare: %s holds no certificate", cfg.CAPath)
	}
	if cfg.CertPath != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertPath, cfg.KeyPath)
		if err != nil {
			return nil, fmt.Errorf("bare: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return grpc.WithTransportCredentials(credentials.NewTLS(conf)), nil
}
