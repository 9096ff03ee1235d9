package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
)

func TestWrongCluster_IsRefused(t *testing.T) {
	one, other := oneNode.use(t), three.use(t)
	for _, urls := range [][]string{
		append(one.ClientURLs(), other.ClientURLs()...),
		append(other.ClientURLs(), one.ClientURLs()...),
	} {
		began := time.Now()
		client, err := tso.NewClient(urls, plain, logTo(t))
		require.ErrorIs(t, err, tso.ErrClusterMismatch)
		require.Nil(t, client)
		require.Less(t, time.Since(began), 10*time.Second)
		t.Logf("refused in %v: %v", time.Since(began), err)
	}
}
