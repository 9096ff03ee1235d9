package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/bytebufferpool"
)

// A request that gRPC holds is not written over.
func TestRequestIsUsedAgainWhenGRPCHasLetGo(t *testing.T) {
	var pool bytebufferpool.Pool
	var r Request
	template := NewTemplate(7, "")
	require.NoError(t, r.Set(&pool, template, 1))
	held, err := Codec{}.Marshal(&r)
	require.NoError(t, err)
	held.Ref() // the transport's

	held.Free() // SendMsg's
	require.ErrorIs(t, r.Set(&pool, template, 2), ErrUnread)
	r.Release(&pool)
	require.Equal(t, template.Append(nil, 1), held.Materialize())

	held.Free()
	require.NoError(t, r.Set(&pool, template, 2))
	again, err := Codec{}.Marshal(&r)
	require.NoError(t, err)
	require.Equal(t, template.Append(nil, 2), again.Materialize())
	again.Free()
	r.Release(&pool)
	require.Nil(t, r.buf)
}

// An interceptor may send a message twice.
func TestRequestIsLentTwice(t *testing.T) {
	var pool bytebufferpool.Pool
	var r Request
	template := NewTemplate(7, "dc-1")
	require.NoError(t, r.Set(&pool, template, 3))
	first, err := Codec{}.Marshal(&r)
	require.NoError(t, err)
	second, err := Codec{}.Marshal(&r)
	require.NoError(t, err)
	first.Free()
	require.Equal(t, template.Append(nil, 3), second.Materialize())
	second.Free()
	require.NoError(t, r.Set(&pool, template, 4))
}

func TestRequestAllocatesNothing(t *testing.T) {
	var pool bytebufferpool.Pool
	var r Request
	template := NewTemplate(7, "")
	count := uint32(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		count = count%10_000 + 1
		_ = r.Set(&pool, template, count)
		lent, _ := Codec{}.Marshal(&r)
		lent.Free()
	}))
}

func BenchmarkRequest(b *testing.B) {
	var pool bytebufferpool.Pool
	var r Request
	template := NewTemplate(7, "")
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Set(&pool, template, 300)
		lent, _ := Codec{}.Marshal(&r)
		lent.Free()
	}
}
