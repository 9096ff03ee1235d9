package pdpath

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// memberEnv makes this test binary play a member: it connects to the address that
// the variable holds, and passes on between there and its standard input and output.
const memberEnv = "PDPATH_TEST_MEMBER"

func TestMain(m *testing.M) {
	if address := os.Getenv(memberEnv); address != "" {
		os.Exit(playMember(address))
	}
	goleak.VerifyTestMain(m)
}

func playMember(address string) int {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 1
	}
	go func() { _, _ = io.Copy(conn, os.Stdin) }()
	_, _ = io.Copy(os.Stdout, conn)
	return 0
}

// startPath returns a path to a server that says everything back.
func startPath(t *testing.T) *Path {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	p, err := New(server.Addr().String())
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// end is one end of a connection on which lines come back.
type end struct {
	t      *testing.T
	writer io.Writer
	reader *bufio.Reader
	conn   net.Conn // nil for a member's
}

func dialClient(t *testing.T, p *Path) *end {
	t.Helper()
	conn, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	return clientEnd(t, conn)
}

func clientEnd(t *testing.T, conn net.Conn) *end {
	t.Cleanup(func() { _ = conn.Close() })
	return &end{t, conn, bufio.NewReader(conn), conn}
}

func dialMember(t *testing.T, p *Path) *end {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), memberEnv+"="+p.Address())
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return &end{t, in, bufio.NewReader(out), nil}
}

func (e *end) say(line string) {
	e.t.Helper()
	_, err := io.WriteString(e.writer, line+"\n")
	require.NoError(e.t, err)
}

func (e *end) requireHears(line string) {
	e.t.Helper()
	if e.conn != nil {
		require.NoError(e.t, e.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	}
	got, err := e.reader.ReadString('\n')
	require.NoError(e.t, err)
	require.Equal(e.t, line+"\n", got)
}

func (e *end) requireAnswered(line string) {
	e.t.Helper()
	e.say(line)
	e.requireHears(line)
}

func (e *end) requireSilence() {
	e.t.Helper()
	require.NoError(e.t, e.conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := e.reader.ReadByte()
	require.ErrorIs(e.t, err, os.ErrDeadlineExceeded)
}

func (e *end) requireReset() {
	e.t.Helper()
	require.NoError(e.t, e.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := e.reader.ReadByte()
	require.True(e.t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF), "%v", err)
}

func TestPath_HoldKeepsBytesAndConnections(t *testing.T) {
	p := startPath(t)
	before := dialClient(t, p)
	before.requireAnswered("open")
	p.Hold()
	before.say("kept")
	during := dialClient(t, p)
	during.say("hello")
	before.requireSilence()
	during.requireSilence()
	p.Heal()
	before.requireHears("kept")
	during.requireHears("hello")
}

func TestPath_RefuseLeavesNobody(t *testing.T) {
	p := startPath(t)
	before := dialClient(t, p)
	before.requireAnswered("open")
	p.Refuse()
	before.requireReset()
	if conn, err := net.Dial("tcp", p.Address()); err == nil {
		clientEnd(t, conn).requireReset()
	} else { // the reset was faster than the dial
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	p.Heal()
	dialClient(t, p).requireAnswered("healed")
	require.EqualValues(t, 3, p.Clients())
}

func TestPath_ShutHasNobodyListen(t *testing.T) {
	p := startPath(t)
	client, member := dialClient(t, p), dialMember(t, p)
	client.requireAnswered("open")
	member.requireAnswered("open")
	p.Shut()
	client.requireReset()
	_, err := net.Dial("tcp", p.Address())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	member.requireAnswered("shut")
	p.Heal()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", p.Address())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, time.Millisecond)
	dialClient(t, p).requireAnswered("healed")
}

func TestPath_ResetOnce(t *testing.T) {
	p := startPath(t)
	before := dialClient(t, p)
	before.requireAnswered("open")
	p.Reset()
	before.requireReset()
	dialClient(t, p).requireAnswered("again")
}

func TestPath_SilenceTakesOldConnectionsOnly(t *testing.T) {
	p := startPath(t)
	before := dialClient(t, p)
	before.requireAnswered("open")
	p.Silence()
	before.say("lost")
	before.requireSilence()
	dialClient(t, p).requireAnswered("new")
	p.Heal()
	before.requireSilence()
}

// A delay holds up each byte, and bytes do not queue behind each other for it.
func TestPath_DelayIsNotPaidInTurn(t *testing.T) {
	p := startPath(t)
	client := dialClient(t, p)
	client.requireAnswered("open")
	const oneWay = 50 * time.Millisecond
	p.SetDelay(oneWay)
	began := time.Now()
	const lines = 10
	for range lines {
		client.say("line")
		time.Sleep(time.Millisecond) // or the kernel makes one chunk of them
	}
	for range lines {
		client.requireHears("line")
	}
	took := time.Since(began)
	require.GreaterOrEqual(t, took, 2*oneWay)
	require.Less(t, took, lines*oneWay)
	p.SetDelay(0)
	client.requireAnswered("quick")
}

// A member goes through whatever happens to clients.
func TestPath_FaultsAreForThisProcessOnly(t *testing.T) {
	p := startPath(t)
	client, member := dialClient(t, p), dialMember(t, p)
	client.requireAnswered("open")
	member.requireAnswered("open")
	require.EqualValues(t, 1, p.Clients())
	require.EqualValues(t, 1, p.Members())
	p.Hold()
	client.say("kept")
	member.requireAnswered("held")
	dialMember(t, p).requireAnswered("held, new")
	client.requireSilence()
	p.Silence()
	p.Refuse()
	member.requireAnswered("refused")
	dialMember(t, p).requireAnswered("refused, new")
	client.requireReset()
}

func TestPath_CloseWhateverHappens(t *testing.T) {
	for name, fault := range map[string]func(*Path){
		"open": func(*Path) {}, "held": (*Path).Hold, "dropped": (*Path).Drop, "refused": (*Path).Refuse, "shut": (*Path).Shut, "silenced": (*Path).Silence,
	} {
		p := startPath(t)
		client := dialClient(t, p)
		client.requireAnswered("open")
		fault(p)
		p.Close()
		p.Close()
		client.requireReset()
		_, err := net.Dial("tcp", p.Address())
		require.Error(t, err, name)
	}
}
