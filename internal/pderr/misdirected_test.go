package pderr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMisdirected_IsWhatNoMemberSays(t *testing.T) {
	never := map[codes.Code]bool{codes.OK: true, codes.Canceled: true, codes.DeadlineExceeded: true, codes.Unavailable: true}
	for code := codes.OK; code <= codes.Unauthenticated+1; code++ {
		err := fmt.Errorf("http://a:1: %w", status.Error(code, "no PD here"))
		require.Equal(t, !never[code], Misdirected(err), "%v", code)
	}
	for _, g := range golden {
		switch g.want {
		case ClusterMismatch, CalleeMismatch, Auth, Unimplemented:
			require.True(t, Misdirected(status.Error(g.code, g.text)), g.text)
			require.False(t, OfPD(status.Error(g.code, g.text)), g.text)
		case NotLeader, Retry:
			if g.era != "grpc-go" {
				require.False(t, Misdirected(status.Error(g.code, g.text)), g.text)
				require.Equal(t, classifyText(g.text) != Unknown, OfPD(status.Error(g.code, g.text)), g.text)
			}
		default:
		}
	}
	require.False(t, Misdirected(status.Error(codes.Unknown, "[PD:tso:ErrSomething]what is to come")))
	require.False(t, Misdirected(status.Error(codes.Unknown, "etcdserver: request timed out")))
	for _, err := range []error{nil, io.EOF, context.Canceled, errors.New("mismatch cluster id")} {
		require.False(t, Misdirected(err), "%v", err)
		require.False(t, OfPD(err), "%v", err)
	}
}
