package fuzz

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tsoring/tso/member"
)

// FuzzAddress feeds arbitrary text to the address parser, which reads what users configure and what members advertise.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"", " ", "127.0.0.1:2379", "http://pd-1:2379", "HTTPS://PD-1.Example.:02379/", "[::1]:2379", "https://[fd00::1]:1",
		"[fe80::1%eth0]:1", "[::ffff:1.2.3.4]:1", "a:1,b:2", "://", "http://", "http://:1", "a:65536", "a:0", "1.2.3:4", "a_b:1",
		"http://u@h:1", "http://h:1/p?q#f", "unix:///x", "\x00:1", "é:1", "[]:1", "[[::1]]:1", "a%20b:1", "xn--a:1",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, addr string, secure bool) {
		got, err := member.ParseAddress(addr, secure)
		if err != nil {
			if got != "" || !errors.Is(err, member.ErrInvalidAddress) {
				t.Fatalf("%q: got %q and an error of the wrong kind: %v", addr, got, err)
			}
			return
		}
		if again, err := member.ParseAddress(got, secure); err != nil || again != got {
			t.Fatalf("%q: normal form %q is not stable: %q, %v", addr, got, again, err)
		}
		other, err := member.ParseAddress(got, !secure)
		if err != nil {
			t.Fatalf("%q: normal form %q does not survive a change of scheme: %v", addr, got, err)
		}
		if back, err := member.ParseAddress(other, secure); err != nil || back != got {
			t.Fatalf("%q: %q and %q are not the same address: %q, %v", addr, got, other, back, err)
		}
		checkURL(t, got, secure)
	})
}

// checkURL holds a normal form against the standard library's idea of a URL.
func checkURL(t *testing.T, normal string, secure bool) {
	u, err := url.Parse(normal)
	if err != nil {
		t.Fatalf("%q is no URL: %v", normal, err)
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if u.Scheme != scheme || u.Hostname() == "" || u.Port() == "" || u.Port() == "0" || u.String() != normal {
		t.Fatalf("%q lacks something: %#v", normal, u)
	}
	if strings.ContainsAny(normal, " ,%\x00") {
		t.Fatalf("%q has characters that no address has", normal)
	}
}
