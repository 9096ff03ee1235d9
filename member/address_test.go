package member

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestParseAddress_NormalForm(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:2379":              "127.0.0.1:2379",
		"http://127.0.0.1:2379":       "127.0.0.1:2379",
		"https://127.0.0.1:2379":      "127.0.0.1:2379",
		"HTTP://PD-1.Example.Com:1":   "pd-1.example.com:1",
		" pd_1:02379\n":               "pd_1:2379",
		"http://pd.ns.svc.:2379/":     "pd.ns.svc.:2379",
		"[::1]:2379":                  "[::1]:2379",
		"http://[FD00:0::0001]:65535": "[fd00::1]:65535",
		"[127.0.0.1]:80":              "127.0.0.1:80",
	} {
		for _, secure := range []bool{false, true} {
			got, err := ParseAddress(given, secure)
			require.NoError(t, err, given)
			require.Equal(t, schemeFor(secure)+"://"+want, got)
			again, err := ParseAddress(got, secure)
			require.NoError(t, err)
			require.Equal(t, got, again, "normal form is stable")
		}
	}
}

func TestParseAddress_ErrorsSayWhatToChange(t *testing.T) {
	for given, hint := range map[string]string{
		"":                              "empty",
		"  ":                            "empty",
		"a:1,b:2":                       "strings.Split",
		"http://a:1,http://b:2":         "strings.Split",
		"pd":                            "a port",
		"::1:2379":                      "brackets",
		"[::1]":                         "a port",
		":2379":                         "neither a name",
		"http://:2379":                  "neither a name",
		"a:0":                           "1 to 65535",
		"a:65536":                       "1 to 65535",
		"a:-1":                          "1 to 65535",
		"a:http":                        "1 to 65535",
		"ftp://a:1":                     "http or https",
		"unix:///run/pd.sock":           "http or https",
		"http://u:p@a:1":                "host and port",
		"http://a:1/pd":                 "host and port",
		"http://a:1?x=y":                "host and port",
		"a b:1":                         "neither a name",
		"a..b:1":                        "neither a name",
		"1.2.3:1":                       "IPv4",
		"256.1.1.1:1":                   "IPv4",
		"[fe80::1%eth0]:1":              "zone",
		"[::x]:1":                       "neither a name",
		strings.Repeat("a", 300) + ":1": "longer",
	} {
		got, err := ParseAddress(given, false)
		require.ErrorIs(t, err, ErrInvalidAddress, given)
		require.ErrorContains(t, err, hint, given)
		require.Empty(t, got)
	}
}

func TestParseSeeds(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	seeds, err := parseSeeds([]string{"b:1", "http://a:1", "https://b:1", "A:1"}, true, zap.New(core))
	require.NoError(t, err)
	require.Equal(t, []string{"https://b:1", "https://a:1"}, seeds, "in order, each once")
	require.Equal(t, 1, logs.Len(), "the one scheme that was changed is logged")

	_, err = parseSeeds([]string{"https://a:1"}, false, zap.New(core))
	require.NoError(t, err)
	require.Equal(t, 1, logs.Len(), "dial options may bring TLS")

	_, err = parseSeeds(nil, false, zap.NewNop())
	require.ErrorIs(t, err, ErrInvalidAddress)
	_, err = parseSeeds([]string{"a:1", ""}, false, zap.NewNop())
	require.ErrorIs(t, err, ErrInvalidAddress)
}

func TestPickURL(t *testing.T) {
	for _, c := range []struct {
		given  []string
		secure bool
		want   string
	}{
		{nil, false, ""},
		{[]string{"", "::", "unix:///x"}, false, ""},
		{[]string{"http://a:1", "https://a:2"}, true, "https://a:2"},
		{[]string{"https://a:2", "http://a:1", "http://a:3"}, false, "http://a:1"},
		{[]string{"http://a:1", "http://a:2"}, true, "https://a:1"},
		{[]string{"nonsense", "https://a:2"}, false, "http://a:2"},
	} {
		got, _ := pickURL(c.given, c.secure)
		require.Equal(t, c.want, got, "%v secure %v", c.given, c.secure)
	}
}
