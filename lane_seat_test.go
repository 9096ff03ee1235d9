package tso

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"github.com/valyala/bytebufferpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tsoring/tso/internal/wire"
	"github.com/tsoring/tso/tsotest"
)

// wedged is a stream whose Send waits until the stream ends, once it is told to.
type wedged struct {
	*fakeStream
	stuck atomic.Bool
}

func (w *wedged) Send(count uint32) error {
	if w.stuck.Load() {
		<-w.closed
		return w.cause
	}
	return w.fakeStream.Send(count)
}

// hangingOnce has an environment's first global stream hang when it is told to; later ones
// answer, and those of dc-locations say nothing.
func hangingOnce(e *fakeEnv) *wedged {
	w := &wedged{fakeStream: newFakeStream("pd-1")}
	var opened atomic.Int32
	e.open = func(ctx context.Context, dc string, r route) (tsoStream, error) {
		switch {
		case dc != globalDC:
			return e.stream(ctx, newFakeStream(r.via))
		case opened.Add(1) == 1:
			return e.stream(ctx, w)
		default:
			return e.stream(ctx, newEchoStream(r.via, &e.oracle))
		}
	}
	return w
}

// A Send that hangs holds up nobody for long, whatever has taken the seat: neither the calls
// of its own lane, nor those of others, whose deadlines the same wheel watches.
func TestSendThatHangsEndsWithItsStream(t *testing.T) {
	atOnce := func(t *testing.T, l *lane) *request { return pushNew(t, l, context.Background()) }
	byTick := func(t *testing.T, l *lane) *request { // as if the caller were held up before it looks
		r := l.env.requests.get(context.Background())
		require.True(t, l.ring.TryPush(r))
		l.keepTicking()
		return r
	}
	for name, tc := range map[string]struct {
		push   func(*testing.T, *lane) *request
		linger time.Duration
	}{
		"sent at once": {atOnce, 0}, "batch interval": {atOnce, time.Millisecond}, "found by a tick": {byTick, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newFakeEnv(nil)
				s := hangingOnce(e)
				e.linger.Store(int64(tc.linger))
				e.budget = 600 * time.Millisecond
				l, beside := startLane(t, e), newLane("dc-2", e.laneEnv)
				e.running.Go(beside.run)
				t.Cleanup(func() { beside.close(ErrClosed) })
				synctest.Wait()
				s.stuck.Store(true)
				began := time.Now()
				ended := make(chan error, 1)
				go func() { _, _, err := tc.push(t, l).Wait(); ended <- err }()
				silent := pushNew(t, beside, context.Background())
				<-s.closed
				require.LessOrEqual(t, time.Since(began), sendPatience+tc.linger+3*l.tick)
				require.NoError(t, <-ended)

				_, _, err := silent.Wait()
				require.ErrorIs(t, err, ErrBudgetSpent, "nobody answers in the other lane")
				require.Less(t, time.Since(began), e.budget+100*time.Millisecond)
			})
		})
	}
}

// While the holder of the seat hangs, the tick ends the stream and a context ends its call.
func TestSendThatHangsKeepsNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		e.probe = func(route) tsoStream { return nil }
		s := &wedged{fakeStream: newFakeStream("pd-1")}
		s.stuck.Store(true)
		var opened atomic.Int32
		e.open = func(ctx context.Context, _ string, _ route) (tsoStream, error) {
			if opened.Add(1) > 1 {
				return nil, errPlanted
			}
			return e.stream(ctx, s)
		}
		l := startLane(t, e)
		synctest.Wait()
		began := time.Now()
		holder := make(chan struct{})
		go func() { pushNew(t, l, context.Background()); close(holder) }()
		synctest.Wait()
		require.True(t, l.seat.taken())
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_, _, err := pushNew(t, l, ctx).Wait()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Millisecond, time.Since(began))
		<-s.closed
		require.ErrorIs(t, s.cause, errSendBlocked, "there is no other stream")
		require.LessOrEqual(t, time.Since(began), sendPatience+3*l.tick)
		<-holder
	})
}

// answerUnread speaks HTTP/2 on c. It grants no window, so that no request reaches it, and
// sends an answer to one on the stream for each token.
func answerUnread(c net.Conn, answer <-chan struct{}) {
	if _, err := io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	if writeFrame(c, frameSettings, 0, []byte{0, 4, 0, 0, 0, 0}) != nil { // INITIAL_WINDOW_SIZE 0
		return
	}
	put := func(typ, flags byte, payload []byte) error {
		f := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(typ))
		_, err := c.Write(append(append(f, flags, 0, 0, 0, 1), payload...)) // the connection's first stream
		return err
	}
	for {
		typ, flags, err := readFrame(c)
		switch {
		case err != nil:
			return
		case typ == frameSettings && flags == 0:
			_ = writeFrame(c, frameSettings, 1, nil)
		case typ == frameHeaders:
			name, value := "content-type", "application/grpc"
			h := append([]byte{0x88, 0, byte(len(name))}, name...) // :status 200, and a literal field
			_ = put(frameHeaders, 4, append(append(h, byte(len(value))), value...))
			go func() {
				for physical := time.Now().UnixMilli(); ; physical++ {
					if _, more := <-answer; !more {
						return
					}
					b, _ := (&pdpb.TsoResponse{
						Header: &pdpb.ResponseHeader{ClusterId: fakeCluster}, Count: 1,
						Timestamp: &pdpb.Timestamp{Physical: physical, Logical: 1},
					}).Marshal()
					if put(frameData, 0, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)) != nil {
						return
					}
				}
			}()
		}
	}
}

// caused is a stream that tells why it was closed.
type caused struct {
	tsoStream
	cause chan error
}

func (c caused) Close(cause error) {
	select {
	case c.cause <- cause:
	default:
	}
	c.tsoStream.Close(cause)
}

// A server that answers without reading would fill gRPC's quota of what may be unwritten, so
// that SendMsg waits for room for ever. The stream ends before that, and the calls go on
// with the next.
func TestServerThatAnswersWithoutReadingIsLeft(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	answer := make(chan struct{})
	go func() {
		c, err := listener.Accept()
		if err == nil {
			t.Cleanup(func() { c.Close() })
			answerUnread(c, answer)
		}
	}()
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	var buffers bytebufferpool.Pool
	e := newFakeEnv(nil)
	var opened atomic.Int32
	first := caused{cause: make(chan error, 1)}
	e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
		if opened.Add(1) == 1 {
			var err error
			first.tsoStream, err = openGRPC(ctx, conn, wire.NewTemplate(fakeCluster, ""), &buffers)
			return first, err
		}
		if len(first.cause) == 0 {
			return nil, errPlanted
		}
		return e.stream(ctx, newEchoStream(r.via, &e.oracle))
	}
	e.oracle.Store(time.Now().UnixMilli() + int64(time.Hour/time.Millisecond)) // above what the server grants
	l := startLane(t, e)
	require.Eventually(t, func() bool { return l.current.Load() != nil }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	served := 0
	for ; len(first.cause) == 0; served++ {
		done := make(chan error, 1)
		f := l.current.Load()
		go func() { _, _, err := pushNew(t, l, ctx).Wait(); done <- err }()
		for len(first.cause) == 0 && f.len() == 0 && len(done) == 0 {
			runtime.Gosched()
		}
		select {
		case answer <- struct{}{}: // to a request that is in flight, as it seems
			require.NoError(t, <-done)
		case err := <-done:
			require.NoError(t, err)
		}
	}
	close(answer)
	require.ErrorIs(t, <-first.cause, wire.ErrUnread)
	require.GreaterOrEqual(t, served, maxInFlight, "it was served without being read for a while")
	_, _, err = pushNew(t, l, ctx).Wait()
	require.NoError(t, err)
}

// rude is a stream of a program's own that does as it is told in the next SendMsg of a caller.
type rude struct {
	grpc.ClientStream
	next *atomic.Pointer[func()]
}

func (r rude) SendMsg(m any) error {
	stack := make([]byte, 16<<10)
	// A goroutine of the lane's may send as well: there a panic ends the process.
	if do := r.next.Load(); do != nil && bytes.Contains(stack[:runtime.Stack(stack, false)], []byte("(*client).GetTS(")) {
		r.next.Store(nil)
		(*do)()
	}
	return r.ClientStream.SendMsg(m)
}

// An interceptor that panics, or ends the goroutine, does that to the call that happens to
// send; the client goes on.
func TestInterceptorThatPanicsInSendLeavesTheClientWhole(t *testing.T) {
	for name, do := range map[string]func(){
		"panic":  func() { panic("a bug in an interceptor") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			s := tsotest.New(t)
			var next atomic.Pointer[func()]
			intercept := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				stream, err := streamer(ctx, desc, cc, method, opts...)
				return rude{ClientStream: stream, next: &next}, err
			}
			c := newTestClient(t, s, WithGRPCDialOptions(grpc.WithStreamInterceptor(intercept)))
			requireGetTS(t, c)
			for done := 0; done < 20; {
				next.Store(&do)
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					defer func() { _ = recover() }()
					_, _, _ = c.GetTS(context.Background())
				}()
				<-gone
				if next.Swap(nil) == nil {
					done++
				}
				requireGetTS(t, c)
			}
		})
	}
}

// A holder that is gone while the lane is closed leaves nobody waiting.
func TestCloseWhileTheHolderIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		<-ss.opened
		synctest.Wait()
		l.adopt(l.current.Load())
		require.True(t, l.seat.take())
		waiting := pushNew(t, l, context.Background())
		l.close(ErrClosed) // leaves it to the holder
		synctest.Wait()    // the attendant has gone
		l.abandonSeat()
		_, _, err := waiting.Wait()
		require.ErrorIs(t, err, ErrClosed)
	})
}

// What has been demanded of a holder that is lost, the attendant does.
func TestDemandOutlivesTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		<-ss.opened
		synctest.Wait()
		l.adopt(l.current.Load())
		require.True(t, l.seat.take())
		r := pushNew(t, l, context.Background())
		l.abandonSeat()
		again := <-ss.opened
		require.EqualValues(t, 1, <-again.sent)
		again.grant(base, 1)
		requireTS(t, base, r)
	})
}

// A goroutine of the lane's own that an interceptor ends takes the lane with it, and says
// why; nothing hangs.
func TestLaneEndsWithItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(func(url string, _ *atomic.Int64) tsoStream { return leaving{newFakeStream(url)} })
		l := newLane(globalDC, e.laneEnv)
		r := pushNew(t, l, context.Background())
		e.run(t, l) // sends it
		_, _, err := r.Wait()
		require.ErrorIs(t, err, errSendAborted)
		require.ErrorIs(t, l.push(context.Background(), e.requests.get(context.Background())), errSendAborted)
	})
}

// leaving is a stream whose Send ends the goroutine.
type leaving struct{ *fakeStream }

func (leaving) Send(uint32) error { runtime.Goexit(); return nil }
