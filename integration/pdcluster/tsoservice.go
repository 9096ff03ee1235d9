package pdcluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/pingcap/kvproto/pkg/tsopb"
)

var errNoServices = errors.New("pdcluster: API mode needs Config.TSOServices")

// TSOService is a server of timestamps outside PD, of a cluster in [APIMode]. It keeps
// nothing but its address: what it serves, and how far that has gone, is in PD's etcd.
type TSOService struct {
	Server

	// URL is where the process listens, and where PD sends clients.
	URL string
}

// makeServices decides on names and addresses of the TSO services.
func (c *Cluster) makeServices() error {
	if err := c.servicePorts.reserve(c.cfg.TSOServices); err != nil {
		return err
	}
	var backends []string
	for _, m := range c.members {
		backends = append(backends, m.ClientURL)
	}
	for i, port := range c.servicePorts.numbers {
		s := c.newService(fmt.Sprintf("tso%d", i+1), c.cfg.scheme()+"://"+address(port))
		s.args = append(s.args, "--backend-endpoints="+strings.Join(backends, ","))
		c.services = append(c.services, s)
		err := os.Mkdir(s.dir, 0o755)
		if err == nil {
			err = os.WriteFile(s.configPath(), []byte(c.cfg.serviceTOML(s.Name)), 0o644)
		}
		if err != nil {
			return fmt.Errorf("pdcluster: %w", err)
		}
	}
	return nil
}

func (c *Cluster) newService(name, url string) *TSOService {
	dir := filepath.Join(c.dir, name)
	s := &TSOService{URL: url}
	s.Name, s.LogPath, s.cluster, s.dir = name, filepath.Join(dir, "tso.log"), c, dir
	s.command = []string{"services", "tso"}
	s.args = append(slices.Clip(c.flags),
		"--listen-addr="+url,
		"--advertise-listen-addr="+url,
		"--log-file="+s.LogPath,
		"--config="+s.configPath(),
	)
	return s
}

func (s *TSOService) configPath() string { return filepath.Join(s.dir, "tso.toml") }

// Services returns the TSO services, tso1 first, whether they run or not.
func (c *Cluster) Services() []*TSOService { return slices.Clone(c.services) }

// Primary returns the TSO service that serves a keyspace in a group.
func (c *Cluster) Primary(ctx context.Context, keyspace, group uint32) (*TSOService, error) {
	errs := []error{fmt.Errorf("pdcluster: no primary of keyspace group %d", group)}
	for _, s := range c.services {
		if !s.Running() {
			continue
		}
		if _, err := s.Timestamp(ctx, keyspace, group); err != nil {
			errs = append(errs, err)
			continue
		}
		return s, nil
	}
	return nil, errors.Join(errs...)
}

// WaitPrimary waits until a TSO service serves a keyspace in a group, and returns it.
func (c *Cluster) WaitPrimary(ctx context.Context, keyspace, group uint32) (primary *TSOService, err error) {
	err = poll(ctx, func(ctx context.Context) error {
		primary, err = c.Primary(ctx, keyspace, group)
		return err
	})
	return primary, err
}

// notPrimary is what a service says that takes part in the election of a primary and is not it.
const notPrimary = "is not leader"

// WaitServing waits until the service is, or could become, the primary of the default
// keyspace group.
func (s *TSOService) WaitServing(ctx context.Context) error {
	err := poll(ctx, func(ctx context.Context) error {
		_, err := s.Timestamp(ctx, 0, 0)
		if err != nil && !s.Running() {
			return permanentError{fmt.Errorf("it is not running%s", s.exitReason())}
		}
		if err != nil && strings.Contains(err.Error(), notPrimary) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pdcluster: %s does not serve: %w", s.Name, err)
	}
	return nil
}

// Timestamp asks the service itself for one timestamp of a keyspace in a group, on a
// fresh connection and without retry. Only the group's primary can answer.
func (s *TSOService) Timestamp(ctx context.Context, keyspace, group uint32) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	conn, err := s.cluster.dial(s.URL)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stream, err := tsopb.NewTSOClient(conn).Tso(ctx)
	if err != nil {
		return 0, fmt.Errorf("pdcluster: %s: %w", s.Name, err)
	}
	header, err := s.cluster.serviceHeader(keyspace, group)
	if err != nil {
		return 0, err
	}
	// An error of Send is the stream's, which Recv tells.
	_ = stream.Send(&tsopb.TsoRequest{Header: header, Count: 1})
	resp, err := stream.Recv()
	if err != nil {
		return 0, fmt.Errorf("pdcluster: group %d from %s: %w", group, s.Name, err)
	}
	if got := resp.GetHeader().GetKeyspaceGroupId(); got != group || resp.GetHeader().GetError() != nil {
		return 0, fmt.Errorf("pdcluster: group %d from %s: bad response %v", group, s.Name, resp)
	}
	return compose(&pdpb.TsoResponse{Count: resp.GetCount(), Timestamp: resp.GetTimestamp()})
}

// serviceHeader is the header of a question for a keyspace in a group. In what form Go
// has the keyspace changed with kvproto; what goes over the wire did not.
func (c *Cluster) serviceHeader(keyspace, group uint32) (*tsopb.RequestHeader, error) {
	header := new(tsopb.RequestHeader)
	const keyspaceField = 3 << 3
	if err := header.Unmarshal(binary.AppendUvarint([]byte{keyspaceField}, uint64(keyspace))); err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	header.ClusterId, header.KeyspaceGroupId = c.clusterID.Load(), group
	return header, nil
}
