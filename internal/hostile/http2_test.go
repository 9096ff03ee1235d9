package hostile

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// HTTP/2 frame types (RFC 9113, section 6), and the flags in use.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePushPromise  = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	flagEndHeaders = 0x4
)

// frame returns an HTTP/2 frame.
func frame(typ, flags byte, stream uint32, payload []byte) []byte {
	f := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(typ))
	f = append(f, flags)
	f = binary.BigEndian.AppendUint32(f, stream)
	return append(f, payload...)
}

// field returns a header field, in HPACK's literal form without an index.
func field(name, value string) []byte {
	b := append([]byte{0}, hpackLen(len(name))...)
	b = append(b, name...)
	b = append(b, hpackLen(len(value))...)
	return append(b, value...)
}

// hpackLen is an integer with a prefix of seven bits (RFC 7541, section 5.1).
func hpackLen(n int) []byte {
	if n < 127 {
		return []byte{byte(n)}
	}
	b := []byte{127}
	for n -= 127; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}

// message returns the beginning of a gRPC message that claims to have size bytes.
func message(compressed byte, size uint32, begin []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, size), begin...)
}

// attack is what a server sends of its own accord, in front of an answer on a
// stream. An endless one is asked again and again, until the client has had enough.
type attack struct {
	bytes   func(stream uint32) []byte
	endless bool
}

func once(b func(stream uint32) []byte) attack    { return attack{bytes: b} }
func endless(b func(stream uint32) []byte) attack { return attack{bytes: b, endless: true} }

func raw(b ...byte) func(uint32) []byte { return func(uint32) []byte { return b } }

var junk = bytes.Repeat([]byte{0xa5}, 16_000)

var attacks = map[string]attack{
	"garbage": once(func(uint32) []byte {
		b := make([]byte, 4096)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return b
	}),
	"HTTP/1.1":                  once(raw([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...)),
	"frame of an unknown type":  once(func(s uint32) []byte { return frame(0xee, 0xff, s, junk) }),
	"frame over the limit":      once(func(s uint32) []byte { return frame(frameData, 0, s, make([]byte, 1<<20)) }),
	"data on stream 0":          once(func(uint32) []byte { return frame(frameData, 0, 0, junk) }),
	"data on an unknown stream": once(func(uint32) []byte { return frame(frameData, 0, 99_999, junk) }),
	"headers of an even stream": once(func(uint32) []byte { return frame(frameHeaders, flagEndHeaders, 2, field("a", "b")) }),
	"headers that are no HPACK": once(func(s uint32) []byte { return frame(frameHeaders, flagEndHeaders, s, junk) }),
	"push promise":              once(func(s uint32) []byte { return frame(framePushPromise, flagEndHeaders, s, []byte{0, 0, 0, 2}) }),
	"settings out of range":     once(func(uint32) []byte { return frame(frameSettings, 0, 0, []byte{0, 5, 0, 0, 0, 1}) }),
	"no frames allowed":         once(func(uint32) []byte { return frame(frameSettings, 0, 0, []byte{0, 4, 0, 0, 0, 0}) }),
	"no streams allowed":        once(func(uint32) []byte { return frame(frameSettings, 0, 0, []byte{0, 3, 0, 0, 0, 0}) }),
	"window of nothing":         once(func(s uint32) []byte { return frame(frameWindowUpdate, 0, s, make([]byte, 4)) }),
	"window that overflows":     once(func(uint32) []byte { return frame(frameWindowUpdate, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff}) }),
	"reset":                     once(func(s uint32) []byte { return frame(frameReset, 0, s, []byte{0, 0, 0, 11}) }),
	"go away, answers to follow": once(func(s uint32) []byte {
		return frame(frameGoAway, 0, 0, binary.BigEndian.AppendUint64(nil, uint64(s)<<32))
	}),
	"go away, calm down": once(func(uint32) []byte {
		return frame(frameGoAway, 0, 0, append([]byte{0, 0, 0, 0, 0, 0, 0, 11}, "too_many_pings"...))
	}),
	"message of 4 GiB":    once(func(s uint32) []byte { return frame(frameData, 0, s, message(0, 1<<32-1, junk)) }),
	"message over 64 KiB": once(func(s uint32) []byte { return frame(frameData, 0, s, message(0, 70_000, junk)) }),
	"compressed message":  once(func(s uint32) []byte { return frame(frameData, 0, s, message(1, 8, make([]byte, 8))) }),
	"flag of no meaning":  once(func(s uint32) []byte { return frame(frameData, 0, s, message(7, 8, make([]byte, 8))) }),
	"headers of 1 MiB": once(func(s uint32) []byte {
		f := frame(frameHeaders, 0, s, field("grpc-message", string(junk[:1000])))
		for range 64 {
			f = append(f, frame(frameContinuation, 0, s, field("x-junk", string(junk[:15_000])))...)
		}
		return append(f, frame(frameContinuation, flagEndHeaders, s, nil)...)
	}),

	"endless continuation": {endless: true, bytes: func(s uint32) []byte {
		return frame(frameContinuation, 0, s, field("x-junk", string(junk[:15_000])))
	}},
	"endless settings":       endless(func(uint32) []byte { return frame(frameSettings, 0, 0, []byte{0, 3, 0, 0, 1, 0}) }),
	"endless pings":          endless(func(uint32) []byte { return frame(framePing, 0, 0, make([]byte, 8)) }),
	"endless unknown frames": endless(func(s uint32) []byte { return frame(0xee, 0, s, junk) }),
	"endless window updates": endless(func(uint32) []byte { return frame(frameWindowUpdate, 0, 0, []byte{0, 0, 0, 1}) }),
	"endless resets":         endless(func(uint32) []byte { return frame(frameReset, 0, 1, []byte{0, 0, 0, 8}) }),
	"endless empty data":     endless(func(s uint32) []byte { return frame(frameData, 0, s, nil) }),
	"one byte at a time":     endless(func(s uint32) []byte { return frame(frameData, 0, s, make([]byte, 1)) }),
}

// corrupter stands between clients and a member, and puts the frames of an attack
// in front of answers on streams.
type corrupter struct {
	listener net.Listener
	backend  string
	attack   attack
	left     atomic.Int64 // connections still to be attacked
	attacked atomic.Int64
	running  sync.WaitGroup
	lock     sync.Mutex
	conns    []net.Conn // guarded by lock
}

// corrupt puts a corrupter in front of the only member of s.
func corrupt(t testing.TB, s *tsotest.Server, a attack) *corrupter {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &corrupter{listener: listener, backend: s.URL(0)[len("http://"):], attack: a}
	redirect(s, c.url())
	c.running.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

// redirect has the lists of s name another address for its only member.
func redirect(s *tsotest.Server, url string) {
	s.ScriptMembers(func(_ int, r *pdpb.GetMembersResponse) error {
		for _, m := range append(r.Members, r.Leader) {
			m.ClientUrls = []string{url}
		}
		return nil
	})
}

func (c *corrupter) url() string { return "http://" + c.listener.Addr().String() }

func (c *corrupter) keep(conn net.Conn) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.conns = append(c.conns, conn)
}

func (c *corrupter) close() {
	c.listener.Close()
	c.lock.Lock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.lock.Unlock()
	c.running.Wait()
}

func (c *corrupter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.backend)
		if err != nil {
			client.Close()
			continue
		}
		c.keep(client)
		c.keep(server)
		c.running.Go(func() {
			_, _ = io.Copy(server, client)
			server.Close()
		})
		c.running.Go(func() {
			c.relay(client, server)
			client.Close()
			server.Close()
		})
	}
}

// relay passes on one frame after another. Only the fifth answer of a connection
// comes behind an attack, so that it has brought some.
func (c *corrupter) relay(client io.Writer, server io.Reader) {
	answers := 0
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(server, payload); err != nil {
			return
		}
		if head[3] == frameData {
			answers++
		}
		if answers == 5 && head[3] == frameData && c.left.Add(-1) >= 0 {
			c.attacked.Add(1)
			if c.strike(client, binary.BigEndian.Uint32(head[5:])) != nil {
				return
			}
		}
		if _, err := client.Write(append(bytes.Clone(head), payload...)); err != nil {
			return
		}
	}
}

func (c *corrupter) strike(client io.Writer, stream uint32) error {
	if !c.attack.endless {
		_, err := client.Write(c.attack.bytes(stream))
		return err
	}
	if c.attack.bytes(stream)[3] == frameContinuation {
		if _, err := client.Write(frame(frameHeaders, 0, stream, field("a", "b"))); err != nil {
			return err
		}
	}
	const most = 64 << 20 // a client that takes as much and stays small can take more
	burst := bytes.Repeat(c.attack.bytes(stream), max(1, 16_000/len(c.attack.bytes(stream))))
	for sent := 0; sent < most; sent += len(burst) {
		if _, err := client.Write(burst); err != nil {
			return err
		}
	}
	return nil
}

// attacksHere are those that grpc-go survives on this processor: where an int has 32
// bits its count of what the peer takes overflows with the window, and its goroutine
// that writes panics (processData in internal/transport/controlbuf.go, v1.84.0).
func attacksHere() map[string]attack {
	here := maps.Clone(attacks)
	if strconv.IntSize == 32 {
		delete(here, "window that overflows")
	}
	return here
}

// A server, or what stands in front of it, that sends hostile HTTP/2 frames now and
// then: the process lives, no call fails, none gets a wrong timestamp, the heap and
// the number of goroutines stay bounded, and connections stay rare.
func TestHostileFramesCostNoCall(t *testing.T) {
	for name, a := range attacksHere() {
		t.Run(name, func(t *testing.T) {
			before := heap()
			s := tsotest.New(t)
			front := corrupt(t, s, a)
			c, err := tso.NewClient([]string{front.url()}, tso.SecurityOption{}, tso.WithCustomTimeoutOption(300*time.Millisecond))
			require.NoError(t, err)
			defer c.Close()
			getTS(t, c)
			front.left.Store(2)
			began := time.Now()
			conns := s.Stats().Conns
			calls := startCallers(t, 4, every(c), nil)
			peak := uint64(0)
			for front.left.Load() > 0 && time.Since(began) < 300*time.Millisecond {
				getTS(t, c)
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
			front.left.Store(0)
			for range 20 {
				getTS(t, c)
			}
			calls.stop()
			require.NotZero(t, front.attacked.Load())
			t.Logf("heap: %d KiB before, %d KiB at most; %d streams, %d connections", before>>10, peak>>10, c.Stats().Streams, s.Stats().Conns)
			require.Less(t, peak, before+16<<20, "heap")
			require.LessOrEqual(t, s.Stats().Conns-conns, uint64(50+10*time.Since(began)/time.Second))
		})
	}
}
