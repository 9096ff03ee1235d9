package etcdwatch

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ranging answers one Range after another.
func ranging(requests *[]string, answers ...[]byte) *etcd {
	return &etcd{onRange: func(request []byte) ([]byte, error) {
		*requests = append(*requests, string(request))
		return answers[len(*requests)-1], nil
	}}
}

// All keys are asked for at the revision of the first, and of the member alone.
func TestRange(t *testing.T) {
	var requests []string
	conn := ranging(&requests, text(header(40), rangeKVs, kv("a", "x", 40)), header(43), text(header(44), rangeKVs, kv("c", "", 3))).serve(t)
	now, err := Range(t.Context(), conn, []string{"a", "b", "c"})
	require.NoError(t, err)
	require.Equal(t, Snapshot{Header: told, Events: []Event{
		{Key: "a", Value: []byte("x"), Revision: 40},
		{Key: "b", Deleted: true},
		{Key: "c", Value: []byte{}, Revision: 3},
	}}, now)
	require.Equal(t, []string{"\x0a\x01a\x38\x01", "\x0a\x01b\x20\x28\x38\x01", "\x0a\x01c\x20\x28\x38\x01"}, requests)
}

func TestRange_Malformed(t *testing.T) {
	for name, answer := range map[string][]byte{
		"no protobuf":       {0xff},
		"nothing":           {},
		"no revision":       text(header(0), rangeKVs, kv("a", "x", 40)),
		"negative revision": header(1 << 63),
		"another key":       text(header(40), rangeKVs, kv("aa", "x", 40)),
		"two keys":          text(text(header(40), rangeKVs, kv("a", "x", 40)), rangeKVs, kv("a", "x", 40)),
		"a later value":     text(header(40), rangeKVs, kv("a", "x", 41)),
		"a value of never":  text(header(40), rangeKVs, kv("a", "x", 0)),
		"truncated value":   text(header(40), rangeKVs, "\x0a\x05"),
	} {
		t.Run(name, func(t *testing.T) {
			var requests []string
			_, err := Range(t.Context(), ranging(&requests, answer).serve(t), []string{"a"})
			require.ErrorIs(t, err, ErrMalformed)
		})
	}
}

func TestRange_AnotherMember(t *testing.T) {
	var requests []string
	_, err := Range(t.Context(), ranging(&requests, header(40), headerOf(8, 40)).serve(t), []string{"a", "b"})
	require.ErrorIs(t, err, ErrAnotherMember)
}

func TestRange_TooLarge(t *testing.T) {
	var requests []string
	answer := text(header(40), rangeKVs, kv("a", strings.Repeat("x", maxMessage), 40))
	_, err := Range(t.Context(), ranging(&requests, answer).serve(t), []string{"a"})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
}

func TestRange_Fails(t *testing.T) {
	refusing := &etcd{onRange: func([]byte) ([]byte, error) { return nil, status.Error(codes.Unimplemented, "no etcd") }}
	conn := refusing.serve(t)
	_, err := Range(t.Context(), conn, []string{"a"})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	for _, keys := range [][]string{nil, {""}, {"a", "a"}} {
		_, err = Range(t.Context(), conn, keys)
		require.ErrorIs(t, err, ErrKeys)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Range(done, conn, []string{"a"})
	require.ErrorIs(t, err, context.Canceled)
}
