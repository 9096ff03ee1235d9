package delay

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers with what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestPath_TakesItsTimeEachWay(t *testing.T) {
	const oneWay = 20 * time.Millisecond
	p, err := Listen(echo(t), oneWay)
	require.NoError(t, err)
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	for _, said := range []string{"hello", "again"} {
		began := time.Now()
		_, err = c.Write([]byte(said))
		require.NoError(t, err)
		heard := make([]byte, len(said))
		_, err = io.ReadFull(c, heard)
		require.NoError(t, err)
		require.Equal(t, said, string(heard))
		require.GreaterOrEqual(t, time.Since(began), 2*oneWay)
	}
}

func TestPath_KeepsSeveralUnderWay(t *testing.T) {
	const oneWay, n = 50 * time.Millisecond, 20
	p, err := Listen(echo(t), oneWay)
	require.NoError(t, err)
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	began := time.Now()
	for range n {
		_, err = c.Write([]byte{1})
		require.NoError(t, err)
	}
	_, err = io.ReadFull(c, make([]byte, n))
	require.NoError(t, err)
	require.Less(t, time.Since(began), n*oneWay, "one after the other it were twice that")
}

func TestPath_CloseEndsConnections(t *testing.T) {
	p, err := Listen(echo(t), time.Millisecond)
	require.NoError(t, err)
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte{1})
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
	p.Close()
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
}
