package tso

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/bytebufferpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tsoring/tso/internal/wire"
)

// HTTP/2 frame types (RFC 9113, section 6).
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameSettings = 0x4
	frameGoAway   = 0x7
)

// writeFrame writes an HTTP/2 frame on stream 0.
func writeFrame(w io.Writer, typ, flags byte, payload []byte) error {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(typ))
	frame = append(frame, flags, 0, 0, 0, 0)
	_, err := w.Write(append(frame, payload...))
	return err
}

// readFrame reads an HTTP/2 frame and returns its type and flags.
func readFrame(r io.Reader) (typ, flags byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	n := binary.BigEndian.Uint32(head[:4]) >> 8
	_, err = io.CopyN(io.Discard, r, int64(n))
	return head[3], head[4], err
}

// refuse speaks HTTP/2 on c: it answers the first request on a stream, once told
// to, by saying that it has not looked at it and is going away.
func refuse(c net.Conn, now <-chan struct{}) {
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	if writeFrame(c, frameSettings, 0, nil) != nil {
		return
	}
	for {
		typ, flags, err := readFrame(c)
		switch {
		case err != nil:
			return
		case typ == frameSettings && flags == 0:
			err = writeFrame(c, frameSettings, 1, nil)
		case typ == frameData:
			<-now
			err = writeFrame(c, frameGoAway, 0, make([]byte, 8)) // last stream 0, no error
		}
		if err != nil {
			return
		}
	}
}

// A member that goes away says that it has not looked at the stream, and then its
// address takes connections but does not speak. grpc-go would replay the stream
// once it is connected again, and let Send wait for that; the caller who has the
// send seat, and the ticks that look at deadlines, would wait with it.
func TestRefusedStreamDoesNotBlockTheSeat(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	goAway := make(chan struct{})
	var conns atomic.Int32
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			if conns.Add(1) == 1 {
				go refuse(c, goAway)
			}
		}
	}()
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()

	var buffers bytebufferpool.Pool
	e := newFakeEnv(nil)
	e.budget = 300 * time.Millisecond
	e.open = func(ctx context.Context, _ string, _ route) (tsoStream, error) {
		return openGRPC(ctx, conn, wire.NewTemplate(fakeCluster, ""), &buffers)
	}
	l := startLane(t, e)
	require.Eventually(t, func() bool { return l.current.Load() != nil }, 5*time.Second, time.Millisecond)
	began := time.Now()
	first := pushNew(t, l, context.Background())
	f := l.current.Load()
	close(goAway)
	require.Eventually(t, func() bool { return l.current.Load() != f }, 5*time.Second, time.Millisecond)

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, _, err = pushNew(t, l, ctx).Wait()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, _, err = first.Wait()
	require.ErrorIs(t, err, ErrBudgetSpent)
	require.Less(t, time.Since(began), 1500*time.Millisecond, "a minimal connect timeout of grpc-go is 20 s")
}
