package pdpath

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireUnanswered requires that to connect brings nothing for a while, no refusal either.
func requireUnanswered(t *testing.T, p *Path) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.Address())
	if err == nil {
		_ = conn.Close()
	}
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), "%v", err)
}

func TestPath_DropAnswersNobody(t *testing.T) {
	p := startPath(t)
	client, member := dialClient(t, p), dialMember(t, p)
	client.requireAnswered("open")
	member.requireAnswered("open")
	for range 2 {
		p.Drop()
		p.Drop()
		client.say("lost")
		for range 3 {
			requireUnanswered(t, p)
		}
		member.requireAnswered("dropped")
		client.requireSilence()
		p.Heal()
		dialClient(t, p).requireAnswered("new")
		client.requireHears("lost")
	}
	require.EqualValues(t, 1+2, p.Clients())
	require.EqualValues(t, 1, p.Members())
}

// A connect that is under way gets through when the kernel repeats it.
func TestPath_ConnectOutlastsDrop(t *testing.T) {
	p := startPath(t)
	p.Drop()
	connected := make(chan net.Conn, 1)
	began := time.Now()
	go func() {
		conn, err := net.Dial("tcp", p.Address())
		if err != nil {
			t.Error(err)
		}
		connected <- conn
	}()
	requireUnanswered(t, p)
	require.Empty(t, connected)
	p.Heal()
	clientEnd(t, <-connected).requireAnswered("at last")
	require.Greater(t, time.Since(began), 500*time.Millisecond, "the kernel's first is after a second")
}

func TestPath_DropBesideOtherFaults(t *testing.T) {
	p := startPath(t)
	for name, fault := range map[string]func(){"held": p.Hold, "refused": p.Refuse, "shut": p.Shut} {
		fault()
		p.Drop()
		requireUnanswered(t, p)
		fault()
		p.Heal()
		require.Eventually(t, func() bool {
			conn, err := net.Dial("tcp", p.Address())
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		}, time.Minute, time.Millisecond, name)
		dialClient(t, p).requireAnswered("healed")
	}
}

func TestSentAgain(t *testing.T) {
	began := time.Now()
	for passed, want := range map[time.Duration]time.Duration{
		0: 200, 200: 200, 201: 600, 601: 1400, 1500: 3000, 3001: 6200,
	} {
		at := sentAgain(began, began.Add(passed*time.Millisecond))
		require.Equal(t, want*time.Millisecond, at.Sub(began), "after %d ms", passed)
	}
}
