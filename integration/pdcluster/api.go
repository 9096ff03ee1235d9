package pdcluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Resign asks the leader to give up its office. It returns when PD has agreed, or
// has stopped watching how that goes; a leader serves again some time later, and may
// be the same, see [Cluster.WaitLeader].
func (c *Cluster) Resign(ctx context.Context) error {
	return c.command(ctx, http.MethodPost, "leader/resign")
}

// TransferLeader asks the leader to hand its office to the member with the given
// name. It returns as Resign does.
func (c *Cluster) TransferLeader(ctx context.Context, name string) error {
	return c.command(ctx, http.MethodPost, "leader/transfer/"+url.PathEscape(name))
}

// TransferAllocator moves the local allocator of a dc-location to a member. It
// returns when PD has agreed. PD acts on it at the next tick of a clock that
// runs at one minute, counted from the start of the member that has to let go;
// see [Cluster.WaitAllocator]. At the same tick each allocator would move to the
// member of its own dc-location anyway, and PD refuses a command while another
// move of that allocator is pending.
func (c *Cluster) TransferAllocator(ctx context.Context, dc, memberName string) error {
	return c.command(ctx, http.MethodPost, "tso/allocator/transfer/"+url.PathEscape(memberName)+
		"?dcLocation="+url.QueryEscape(dc))
}

// transferTooLong is what etcd says when a transfer of leadership has not ended within an
// election timeout. It may still end.
const transferTooLong = "leader transfer took too long"

// command asks the leader itself: another member would pass the command on,
// but to where the leader advertises, through whatever proxy is there.
func (c *Cluster) command(ctx context.Context, method, path string) error {
	_, err := c.send(ctx, method, "/pd/api/v1/"+path, []byte("{}"))
	if err != nil && strings.Contains(err.Error(), transferTooLong) {
		return nil
	}
	return err
}

// send asks the leader over HTTP and returns what it answers.
func (c *Cluster) send(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return c.sendTo(ctx, method, leader.ClientURL+path, body)
}

func (c *Cluster) sendTo(ctx context.Context, method, endpoint string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	client, err := c.httpClient()
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	if err != nil {
		return nil, fmt.Errorf("pdcluster: %s %s: %w", method, endpoint, err)
	}
	return answer, nil
}

// httpClient returns a client that keeps no connection.
func (c *Cluster) httpClient() (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if c.TLS != nil {
		config, err := c.TLS.Config()
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = config
	}
	return &http.Client{Transport: transport}, nil
}
