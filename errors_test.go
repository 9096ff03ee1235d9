package tso

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/pderr"
)

// An error's text names the next step: what to pass, or a command to look with.
func TestErrorsSayWhatToDo(t *testing.T) {
	const url = "http://pd-1:2379"
	cause := errors.New("no timestamp")
	fallback := FallbackEvent{DCLocation: "dc-1", URL: url, Granted: 5, Highest: 7}
	for _, tc := range []struct {
		err, is error
		says    []string
	}{
		{errNilContext, ErrInvalidArgument, []string{"context.Background()", "WithRequestBudget"}},
		{badResponse(url, cause), ErrBadResponse, []string{cause.Error(), "curl " + url + "/pd/api/v1/version", "log"}},
		{fallback.err(), ErrTimestampFallback, []string{"5 after 7", `"dc-1"`, "pd-ctl -u " + url + " member leader show", "pd-ctl tso 5"}},
	} {
		require.ErrorIs(t, tc.err, tc.is)
		for _, text := range tc.says {
			require.ErrorContains(t, tc.err, text)
		}
	}
	require.ErrorIs(t, badResponse(url, cause), cause)
}

// What a caller gets is that text.
func TestCallersGetTheTextsOfBadAnswers(t *testing.T) {
	l := &lane{env: &laneEnv{stats: &counters{}, log: zap.NewNop()}}
	require.ErrorContains(t, l.bad(&flight{url: "http://pd-1:2379"}, errors.New("no timestamp")), "curl http://pd-1:2379/")
	require.ErrorContains(t, l.fellBack(&flight{url: "http://pd-1:2379"}, 5), "pd-ctl -u http://pd-1:2379 ")
}

func TestOneMemberOfAnotherClusterIsToldInOtherWordsThanPDs(t *testing.T) {
	said := status.Error(codes.FailedPrecondition, "mismatch cluster id, need 7 but got 8")
	l := &lane{}
	l.blame(fmt.Errorf("at pd-1: %w", said))
	err := l.lastCause()
	require.NotContains(t, err.Error(), "mismatch cluster id", "a program may end itself where it reads that")
	require.ErrorContains(t, err, "need 7 but got 8")
	require.ErrorIs(t, err, said)
	require.Equal(t, pderr.ClusterMismatch, pderr.Classify(err))
}
