package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// deaf stands between clients and a member, and reads nothing of theirs any more once deafen
// is called; it sends them pings, until nothing can be written to it.
type deaf struct {
	listener net.Listener
	deafened chan struct{}
	running  sync.WaitGroup
	full     chan struct{} // holds a token when a client takes no more pings
}

// newDeaf puts a deaf front before the only member of s.
func newDeaf(t testing.TB, s *tsotest.Server) *deaf {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &deaf{listener: listener, deafened: make(chan struct{}), full: make(chan struct{}, 1)}
	redirect(s, d.url())
	d.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.URL(0)[len("http://"):])
			require.NoError(t, err)
			t.Cleanup(func() { client.Close(); server.Close() })
			d.running.Go(func() { d.up(server, client) })
			d.running.Go(func() { d.down(client, server) })
			d.running.Go(func() {
				<-d.deafened
				server.Close() // which down finds out
			})
		}
	})
	t.Cleanup(func() { listener.Close() })
	return d
}

func (d *deaf) url() string { return "http://" + d.listener.Addr().String() }

// up passes on what the client says, until it is deaf.
func (d *deaf) up(server io.Writer, client io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := client.Read(buf)
		select {
		case <-d.deafened:
			return
		default:
		}
		if err != nil {
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// down passes on what the server says, frame by frame, until the front is deaf, and then
// sends pings.
func (d *deaf) down(client net.Conn, server io.Reader) {
	defer func() {
		<-d.deafened
		d.ping(client)
	}()
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(server, payload); err != nil {
			return
		}
		if _, err := client.Write(append(bytes.Clone(head), payload...)); err != nil {
			return
		}
	}
}

func (d *deaf) ping(client net.Conn) {
	burst := bytes.Repeat(frame(framePing, 0, 0, make([]byte, 8)), 1000)
	for {
		_ = client.SetWriteDeadline(time.Now().Add(time.Second))
		_, err := client.Write(burst)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			select {
			case d.full <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

// A server that has stopped reading, and whose pings have filled the connection with
// acknowledgements, cannot be told that the client goes. Close does not wait for that.
func TestCloseDoesNotWaitForAServerThatDoesNotRead(t *testing.T) {
	s := tsotest.New(t)
	front := newDeaf(t, s)
	c, err := tso.NewClient([]string{front.url()}, tso.SecurityOption{})
	require.NoError(t, err)
	getTS(t, c)
	close(front.deafened)
	<-front.full
	began := time.Now()
	c.Close()
	require.Less(t, time.Since(began), time.Second)
}
