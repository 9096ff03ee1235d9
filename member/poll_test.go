package member

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestPoll_StagesAndResult(t *testing.T) {
	urls := []string{"http://a:1", "http://b:1", "http://c:1"}
	p := &poll{clusterID: testCluster, log: zap.NewNop()}
	require.Equal(t, silent, p.stage())

	p.add(answer{url: urls[0], err: errors.New("refused")})
	require.Equal(t, silent, p.stage(), "an error is no answer")

	electing := cluster(urls...)
	electing.Leader = nil
	p.add(answer{url: urls[1], resp: electing})
	require.Equal(t, answered, p.stage())
	_, err := p.result(urls)
	require.ErrorIs(t, err, ErrNoLeader)
	require.ErrorContains(t, err, "http://c:1: no answer yet")

	p.add(answer{url: urls[1], resp: led(2, urls...)})
	require.Equal(t, named, p.stage())
	p.add(answer{url: urls[2], resp: led(0, urls...)})
	require.Equal(t, named, p.stage())
	s, err := p.result(urls)
	require.NoError(t, err)
	require.Equal(t, urls[2], s.Leader, "hearsay: the first counts")

	p.add(answer{url: urls[0], resp: led(0, urls...)})
	require.Equal(t, confirmed, p.stage())
	p.add(answer{url: urls[2], resp: led(2, urls...)})
	s, err = p.result(urls)
	require.NoError(t, err)
	require.Equal(t, urls[0], s.Leader, "the first that names itself counts")
}

func TestPoll_OneOfOursOutweighsStrangers(t *testing.T) {
	foreign := cluster("http://a:1")
	foreign.Header.ClusterId = 8
	p := &poll{clusterID: testCluster, log: zap.NewNop()}
	p.add(answer{url: "http://a:1", resp: foreign})
	_, err := p.result([]string{"http://a:1"})
	require.ErrorIs(t, err, ErrClusterMismatch)

	electing := cluster("http://b:1")
	electing.Leader = nil
	p.add(answer{url: "http://b:1", resp: electing})
	_, err = p.result([]string{"http://a:1", "http://b:1"})
	require.ErrorIs(t, err, ErrNoLeader)
	require.NotErrorIs(t, err, ErrClusterMismatch)
}
