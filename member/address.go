package member

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

const (
	plainScheme  = "http"
	secureScheme = "https"
)

// ParseAddress returns the normal form of a PD address, which is a URL such as "http://pd-1:2379" or
// "https://[fd00::1]:2379". Two addresses with the same normal form are the same address.
//
// The scheme may be missing. Whatever it is, it becomes the one that the connection will use: https if secure, else
// http, since PD members are known to advertise the one while they serve the other. A port is required. Host names are
// lower-cased, IP addresses written in their canonical form, surrounding blanks and one trailing slash removed.
//
// Every error Is ErrInvalidAddress and says what to write instead.
func ParseAddress(addr string, secure bool) (string, error) {
	rest, err := cutScheme(strings.TrimSpace(addr))
	if err != nil {
		return "", addressError(addr, err.Error())
	}
	hostport, err := normalHostPort(strings.TrimSuffix(rest, "/"))
	if err != nil {
		return "", addressError(addr, err.Error())
	}
	return schemeFor(secure) + "://" + hostport, nil
}

func schemeFor(secure bool) string {
	if secure {
		return secureScheme
	}
	return plainScheme
}

// badAddress is a reason, for addressError to complete.
type badAddress string

func (b badAddress) Error() string { return string(b) }

func addressError(addr, reason string) error {
	const shown = 200 // Enough of any real address; the rest is a mistake that need not fill the log.
	if len(addr) > shown {
		addr = addr[:shown] + "…"
	}
	return fmt.Errorf("%w %q: %s", ErrInvalidAddress, addr, reason)
}

// cutScheme checks and removes what comes before the host.
func cutScheme(addr string) (string, error) {
	switch {
	case addr == "":
		return "", badAddress("it is empty; write one like 127.0.0.1:2379")
	case strings.Contains(addr, ","):
		return "", badAddress(`it holds several addresses; pass each as an element of its own, for example with strings.Split(addrs, ",")`)
	}
	scheme, rest, found := strings.Cut(addr, "://")
	if !found {
		return addr, nil
	}
	if s := strings.ToLower(scheme); s != plainScheme && s != secureScheme {
		return "", badAddress("its scheme must be http or https, or be left out")
	}
	return rest, nil
}

func normalHostPort(hostport string) (string, error) {
	if strings.ContainsAny(hostport, "/?#@") {
		return "", badAddress("it has more than host and port; write one like http://127.0.0.1:2379")
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", badAddress("it needs a host and a port, which is usually 2379 for PD, and IPv6 in brackets: pd-1:2379 or [::1]:2379")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "", badAddress("its port must be a number from 1 to 65535")
	}
	host, err = normalHost(host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.FormatUint(number, 10)), nil
}

func normalHost(host string) (string, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			// A zone is a name of one machine's network card, so no member can be known by it to others.
			return "", badAddress("its IPv6 address has a zone; use an address that is valid on every machine")
		}
		return ip.String(), nil
	}
	host = strings.ToLower(host)
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || strings.Trim(label, hostChars) != "" {
			return "", badAddress("its host is neither a name nor an IP address")
		}
	}
	if len(host) > 254 {
		return "", badAddress("its host name is longer than DNS allows")
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", badAddress("its host looks like an IPv4 address but is none")
	}
	return host, nil
}

// hostChars are what a label of a host name may consist of. The underscore is not DNS, but container networks use it.
const hostChars = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// parseSeeds returns the normal forms of the addresses that the caller gave, in order and each once. One without TLS is made
// one with it where certificates are given. The other way round there is nothing to warn of: either the caller's dial options
// bring TLS, or there will be no connection (contacts).
func parseSeeds(addrs []string, secure bool, log *zap.Logger) ([]string, error) {
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: none given; pass at least one, like 127.0.0.1:2379", ErrInvalidAddress)
	}
	var seeds []string
	seen := make(map[string]bool, len(addrs))
	for _, addr := range addrs {
		seed, err := ParseAddress(addr, secure)
		if err != nil {
			return nil, err
		}
		if secure && hasWrongScheme(addr, secure) {
			log.Warn("PD address has a scheme that does not fit the TLS options; using the other",
				zap.String("given", addr), zap.String("used", seed))
		}
		if !seen[seed] {
			seen[seed] = true
			seeds = append(seeds, seed)
		}
	}
	return seeds, nil
}

// secureSeed returns the first address that asks for TLS, or "".
func secureSeed(addrs []string) string {
	for _, addr := range addrs {
		if scheme, _, found := strings.Cut(strings.TrimSpace(addr), "://"); found && strings.EqualFold(scheme, secureScheme) {
			return addr
		}
	}
	return ""
}

// hasWrongScheme reports whether addr names a scheme, and not the one in use.
func hasWrongScheme(addr string, secure bool) bool {
	scheme, _, found := strings.Cut(strings.TrimSpace(addr), "://")
	return found && !strings.EqualFold(scheme, schemeFor(secure))
}

// pickURL chooses one of a member's client URLs: the first whose scheme fits, or else the first that can be made to
// fit. picked is "" if none is an address at all; all are the normal forms of those that are.
func pickURL(clientURLs []string, secure bool) (picked string, all []string) {
	fits := false
	for _, raw := range clientURLs {
		u, err := ParseAddress(raw, secure)
		if err != nil {
			continue
		}
		all = append(all, u)
		if wrong := hasWrongScheme(raw, secure); picked == "" || (!fits && !wrong) {
			picked, fits = u, !wrong
		}
	}
	return picked, all
}

// dialTarget returns what grpc.NewClient shall be given for a URL in normal form. The passthrough resolver hands the
// name to the dialer as it is, so that each connection attempt resolves it anew: a pod that came back under another
// address is found without waiting for a resolver's cache.
func dialTarget(normal string) string {
	_, hostport, _ := strings.Cut(normal, "://")
	return "passthrough:///" + hostport
}
