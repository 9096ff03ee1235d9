//go:build unix

package yieldconn

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// always returns a load that does not look, and finds the process saturated or not.
func always(saturated bool) *Load {
	l := &Load{}
	l.saturated.Store(saturated)
	l.sampled.Store(math.MaxInt64)
	return l
}

// pair returns both ends of a connection, ours first.
func pair(t *testing.T, d *Dialer) (*Conn, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	ours, err := d.Dial(context.Background(), listener.Addr().String())
	require.NoError(t, err)
	theirs, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = ours.Close() // some tests have closed them
		_ = theirs.Close()
	})
	return ours.(*Conn), theirs
}

func dialer(load *Load, awaited func() bool) *Dialer {
	return &Dialer{Awaited: awaited, Load: load, Counts: &Counts{}}
}

func yes() bool { return true }
func no() bool  { return false }

// outcome is what a Read has returned.
type outcome struct {
	data string
	err  error
}

// read begins a Read.
func read(c net.Conn) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		var p [16]byte
		n, err := c.Read(p[:])
		done <- outcome{string(p[:n]), err}
	}()
	return done
}

func TestReadReturnsWhatComesLater(t *testing.T) {
	for name, d := range map[string]*Dialer{
		"idle":                  dialer(always(false), yes),
		"saturated":             dialer(always(true), yes),
		"saturated, unexpected": dialer(always(true), no),
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t, d)
			for _, data := range []string{"one", "two"} {
				done := read(ours)
				require.Eventually(t, func() bool { return d.Counts.Yields.Load()+d.Counts.Parks.Load() > 0 }, 5*time.Second, time.Millisecond)
				_, err := theirs.Write([]byte(data))
				require.NoError(t, err)
				require.Equal(t, outcome{data: data}, <-done)
			}
		})
	}
}

func TestAlarmsComeOnlyWhileAnAnswerIsAwaitedInASaturatedProcess(t *testing.T) {
	for name, tc := range map[string]struct {
		load    *Load
		awaited func() bool
		alarms  bool
	}{
		"idle":                  {always(false), yes, false},
		"saturated":             {always(true), yes, true},
		"saturated, unexpected": {always(true), no, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := dialer(tc.load, tc.awaited)
			ours, theirs := pair(t, d)
			began := time.Now()
			done := read(ours)
			// It waits without an alarm at once, or when it has had them all.
			require.Eventually(t, func() bool { return d.Counts.Parks.Load() == 1 }, time.Minute, time.Millisecond)
			if tc.alarms {
				// On a machine that is late each one makes those after it fewer.
				require.Positive(t, d.Counts.Yields.Load())
				require.Less(t, d.Counts.Yields.Load(), int64(60), "a silent server takes few turns")
				require.GreaterOrEqual(t, time.Since(began), maxAlarms, "there are alarms until then")
			} else {
				require.Zero(t, d.Counts.Yields.Load())
			}
			_, err := theirs.Write([]byte("late"))
			require.NoError(t, err)
			require.Equal(t, outcome{data: "late"}, <-done)
		})
	}
}

// An answer is late by a quarter of its time, and a wait has some thirty alarms, if each
// comes at its time.
func TestAlarmsOfAWaitOnAMachineThatIsNotLate(t *testing.T) {
	alarms := 0
	for waited := time.Duration(0); waited < maxAlarms; waited += next(waited) {
		alarms++
		require.LessOrEqual(t, next(waited), max(waited/4, 50*time.Microsecond))
	}
	require.Greater(t, alarms, 10)
	require.Less(t, alarms, 60)
}

// Before Go 1.26 the runtime does not tell of its goroutines. Then a saturated process
// counts as idle: the connection waits as any other does, and loses nothing.
func TestConnectionServesWhereTheRuntimeTellsNothing(t *testing.T) {
	defer busy(2 * runtime.GOMAXPROCS(0))()
	load := &Load{samples: unknown()}
	load.saturated.Store(true) // until the first look, which is due
	load.sampled.Store(-int64(sampleInterval))
	d := dialer(load, yes)
	ours, theirs := pair(t, d)
	answers := []string{"first", "second", "third"}
	for i, data := range answers {
		yields, parks := d.Counts.Yields.Load(), d.Counts.Parks.Load()
		done := read(ours)
		require.Eventually(t, func() bool { return d.Counts.Yields.Load()+d.Counts.Parks.Load() > yields+parks }, time.Minute, time.Millisecond)
		_, err := theirs.Write([]byte(data))
		require.NoError(t, err)
		require.Equal(t, outcome{data: data}, <-done)
		if i > 0 {
			require.Equal(t, yields, d.Counts.Yields.Load(), "no alarm")
			require.Greater(t, d.Counts.Parks.Load(), parks)
		}
	}
	require.NotZero(t, d.Counts.Yields.Load(), "the first wait was that of a saturated process")
}

// The reader waits while nothing is awaited. The request that changes this must have
// it set its alarms, whichever is first.
func TestWriteWakesTheQuietReader(t *testing.T) {
	var awaited atomic.Bool
	d := dialer(always(true), awaited.Load)
	ours, theirs := pair(t, d)
	for range 50 {
		awaited.Store(false)
		parks, yields := d.Counts.Parks.Load(), d.Counts.Yields.Load()
		done := read(ours)
		require.Eventually(t, func() bool { return d.Counts.Parks.Load() > parks }, 5*time.Second, 10*time.Microsecond)
		awaited.Store(true)
		_, err := ours.Write([]byte("request"))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return d.Counts.Yields.Load() >= yields+2 }, 5*time.Second, 10*time.Microsecond,
			"the first alarm is the Write's, the second its own")
		_, err = theirs.Write([]byte("answer"))
		require.NoError(t, err)
		require.Equal(t, outcome{data: "answer"}, <-done)
	}
}

func TestCloseEndsRead(t *testing.T) {
	for _, saturated := range []bool{false, true} {
		d := dialer(always(saturated), yes)
		ours, _ := pair(t, d)
		done := read(ours)
		require.Eventually(t, func() bool { return d.Counts.Yields.Load()+d.Counts.Parks.Load() > 0 }, 5*time.Second, time.Millisecond)
		require.NoError(t, ours.Close())
		require.ErrorIs(t, (<-done).err, net.ErrClosed)
		_, err := ours.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
	}
}

func TestDeadlineIsTheUsers(t *testing.T) {
	for _, saturated := range []bool{false, true} {
		d := dialer(always(saturated), yes)
		ours, theirs := pair(t, d)
		for _, after := range []time.Duration{-time.Second, 10 * time.Microsecond, 5 * time.Millisecond, 150 * time.Millisecond} {
			began := time.Now()
			require.NoError(t, ours.SetReadDeadline(began.Add(after)))
			_, err := ours.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "read", op.Op)
			require.True(t, op.Timeout())
			require.GreaterOrEqual(t, time.Since(began), after)
		}
		// One that is set while Read waits, and then taken back.
		require.NoError(t, ours.SetReadDeadline(time.Time{}))
		done := read(ours)
		require.NoError(t, ours.SetDeadline(time.Now().Add(20*time.Millisecond)))
		require.ErrorIs(t, (<-done).err, os.ErrDeadlineExceeded)
		require.NoError(t, ours.SetDeadline(time.Time{}))
		_, err := theirs.Write([]byte("again"))
		require.NoError(t, err)
		require.Equal(t, outcome{data: "again"}, <-read(ours))
	}
}

// The ends of a connection read as those of a plain one.
// A peer that does not read keeps nobody who takes leave of it; SetDeadline is as always.
func TestFarewellIsShort(t *testing.T) {
	ours, _ := pair(t, dialer(&Load{}, no))
	full := make([]byte, 1<<20)
	began := time.Now()
	require.NoError(t, ours.SetDeadline(began.Add(200*time.Millisecond)))
	var err error
	for err == nil {
		_, err = ours.Write(full)
	}
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)

	began = time.Now()
	require.NoError(t, ours.SetWriteDeadline(began.Add(10*time.Second)))
	_, err = ours.Write(full)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, time.Since(began), 5*time.Second)

	require.NoError(t, ours.SetWriteDeadline(time.Now().Add(-time.Second)))
	require.NoError(t, ours.SetWriteDeadline(time.Time{}), "none is none")
}

func TestEndsOfTheConnection(t *testing.T) {
	for _, saturated := range []bool{false, true} {
		ours, theirs := pair(t, dialer(always(saturated), yes))
		done := read(ours)
		require.NoError(t, theirs.Close())
		require.Equal(t, io.EOF, (<-done).err)

		ours, theirs = pair(t, dialer(always(saturated), yes))
		done = read(ours)
		require.NoError(t, theirs.(*net.TCPConn).SetLinger(0)) // a reset
		require.NoError(t, theirs.Close())
		err := (<-done).err
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "read", op.Op)
		require.ErrorContains(t, err, "connection reset by peer")
	}
}

func TestDialFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, err = dialer(&Load{}, no).Dial(context.Background(), listener.Addr().String())
	require.Error(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = dialer(&Load{}, no).Dial(ctx, "127.0.0.1:1")
	require.Error(t, err)
}

// Requests and answers under TLS, in a process that changes between idle and
// saturated, with requests that come while nothing is awaited: every answer arrives,
// and none of its bytes is lost or doubled.
func TestNothingIsLostWhileTheLoadChanges(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", certified.TLS)
	require.NoError(t, err)
	defer listener.Close()

	load, outstanding := always(false), atomic.Int64{}
	d := dialer(load, func() bool { return outstanding.Load() > 0 })
	raw, err := d.Dial(context.Background(), listener.Addr().String())
	require.NoError(t, err)
	ours := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the bytes count here, not the peer
	defer ours.Close()
	theirs, err := listener.Accept()
	require.NoError(t, err)
	defer theirs.Close()

	const requests = 3000
	var wg sync.WaitGroup
	wg.Go(func() { // the server
		var p [8]byte
		for {
			if _, err := io.ReadFull(theirs, p[:]); err != nil {
				return
			}
			if _, err := theirs.Write(p[:]); err != nil {
				return
			}
		}
	})
	got := make(chan uint64, requests)
	wg.Go(func() { // the reader
		var p [8]byte
		for range requests {
			if _, err := io.ReadFull(ours, p[:]); err != nil {
				t.Error(err)
				return
			}
			outstanding.Add(-1)
			got <- binary.BigEndian.Uint64(p[:])
		}
		_ = theirs.Close()
	})
	for i := range uint64(requests) {
		load.saturated.Store(i%7 < 4)
		outstanding.Add(1)
		_, err := ours.Write(binary.BigEndian.AppendUint64(nil, i))
		require.NoError(t, err)
		if i%3 > 0 { // else two are under way
			continue
		}
		select {
		case v := <-got:
			require.LessOrEqual(t, v, i)
		case <-time.After(10 * time.Second):
			t.Fatal("an answer is missing")
		}
	}
	wg.Wait()
	require.NotZero(t, d.Counts.Yields.Load())
	require.NotZero(t, d.Counts.Parks.Load())
}

func TestReadersAtTheSameTime(t *testing.T) {
	ours, theirs := pair(t, dialer(always(true), yes))
	all := make(chan outcome)
	for range 2 {
		go func() { all <- <-read(ours) }()
	}
	for range 2 {
		_, err := theirs.Write([]byte("x"))
		require.NoError(t, err)
		require.Equal(t, outcome{data: "x"}, <-all)
	}
}
