package pd

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	pd "github.com/tikv/pd/client"

	ours "github.com/tsoring/tso"
	"github.com/tsoring/tso/pdcompat/internal/handover"
)

// instant is a client of this library's that has a timestamp at once.
type instant struct {
	ours.Client
	future ours.TSFuture
}

type ready struct{}

func (*ready) Wait() (physical, logical int64, err error) { return 1, 1, nil }

func (i *instant) GetTS(context.Context) (physical, logical int64, err error) { return 1, 1, nil }
func (i *instant) GetTSAsync(context.Context) ours.TSFuture                   { return i.future }

// ways are those to a timestamp, directly at an instant client and through the wrapper.
func ways() (direct ours.Client, wrapped pd.Client) {
	direct = &instant{future: new(ready)}
	return direct, &client{timestamps: handover.Serving(direct)}
}

func TestTheWrapperAllocatesNothing(t *testing.T) {
	_, c := ways()
	ctx := context.Background()
	for name, call := range map[string]func() (physical, logical int64, err error){
		"GetTS":           func() (physical, logical int64, err error) { return c.GetTS(ctx) },
		"GetTSAsync":      func() (physical, logical int64, err error) { return c.GetTSAsync(ctx).Wait() },
		"GetLocalTS":      func() (physical, logical int64, err error) { return c.GetLocalTS(ctx, "dc-1") },             //nolint:staticcheck // deprecated, not gone
		"GetLocalTSAsync": func() (physical, logical int64, err error) { return c.GetLocalTSAsync(ctx, "dc-1").Wait() }, //nolint:staticcheck // deprecated, not gone
		"GetMinTS":        func() (physical, logical int64, err error) { return c.GetMinTS(ctx) },
	} {
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if physical, logical, err := call(); physical != 1 || logical != 1 || err != nil {
				t.Error(name)
			}
		}), name)
	}
}

// What the wrapper adds to a call is the difference of each two.
func BenchmarkWrapper(b *testing.B) {
	direct, wrapped := ways()
	ctx := context.Background()
	b.Run("GetTS/direct", func(b *testing.B) {
		for b.Loop() {
			_, _, _ = direct.GetTS(ctx)
		}
	})
	b.Run("GetTS/wrapped", func(b *testing.B) {
		for b.Loop() {
			_, _, _ = wrapped.GetTS(ctx)
		}
	})
	b.Run("GetTSAsync/direct", func(b *testing.B) {
		for b.Loop() {
			future := direct.GetTSAsync(ctx)
			_, _, _ = future.Wait()
		}
	})
	b.Run("GetTSAsync/wrapped", func(b *testing.B) {
		for b.Loop() {
			future := wrapped.GetTSAsync(ctx)
			_, _, _ = future.Wait()
		}
	})
}
