package hostile

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/tsotest"
)

// Where connecting takes its time, as with a slow name server or a proxy beside the
// process, a client comes up, and finds its way past a connection that has gone dead.
func TestConnectsThatTakeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 2300 * time.Millisecond
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s, dialThrough(func(ctx context.Context, address string) (net.Conn, error) {
			select {
			case <-time.After(takes):
				return s.Dialer()(ctx, address)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}))
		getTS(t, c)
		for range 3 {
			time.Sleep(5 * time.Second)
			require.NoError(t, s.SilenceConns(0))
			began := time.Now()
			getTS(t, c)
			require.Less(t, time.Since(began), takes+400*time.Millisecond)
		}
	})
}
