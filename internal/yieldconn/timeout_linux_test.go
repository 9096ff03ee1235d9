package yieldconn

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSocketGivesUpAPeerThatIsGone(t *testing.T) {
	ours, _ := pair(t, dialer(&Load{}, no))
	for _, option := range []struct{ level, name, want int }{
		{syscall.IPPROTO_TCP, tcpUserTimeout, int(userTimeout / time.Millisecond)},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(keepAliveInterval / time.Second)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
	} {
		var got int
		var err error
		require.NoError(t, ours.raw.Control(func(fd uintptr) {
			got, err = syscall.GetsockoptInt(int(fd), option.level, option.name)
		}))
		require.NoError(t, err)
		require.Equal(t, option.want, got)
	}
}
