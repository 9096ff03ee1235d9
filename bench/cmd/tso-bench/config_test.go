package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// env is an environment for parse.
func env(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestParse_Defaults(t *testing.T) {
	cfg, err := parse(nil, env(nil))
	require.NoError(t, err)
	require.Equal(t, config{
		impl: "tso", callers: 64, duration: 10 * time.Second, connectTimeout: 10 * time.Second, check: true,
	}, cfg)
}

func TestParse_EnvironmentFillsGaps(t *testing.T) {
	cfg, err := parse(nil, env(map[string]string{
		"PD": "one:1,two:2", "DC": "dc-1", "CALLERS": "3", "DURATION": "4s",
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"one:1", "two:2"}, cfg.pd)
	require.Equal(t, "dc-1", cfg.dc)
	require.Equal(t, 3, cfg.callers)
	require.Equal(t, 4*time.Second, cfg.duration)
}

func TestParse_FlagBeatsEnvironment(t *testing.T) {
	cfg, err := parse(
		[]string{"--pd=three:3", "--callers=64", "--duration", "1s", "--dc="},
		env(map[string]string{"PD": "one:1", "DC": "dc-1", "CALLERS": "3", "DURATION": "nonsense"}))
	require.NoError(t, err)
	require.Equal(t, []string{"three:3"}, cfg.pd)
	require.Empty(t, cfg.dc, "an empty flag is a flag")
	require.Equal(t, 64, cfg.callers, "also when the flag says what is the default")
	require.Equal(t, time.Second, cfg.duration)
}

func TestParse_EmptyVariableIsNone(t *testing.T) {
	cfg, err := parse(nil, env(map[string]string{"PD": "", "CALLERS": ""}))
	require.NoError(t, err)
	require.Empty(t, cfg.pd)
	require.Equal(t, 64, cfg.callers)
}

func TestParse_ErrorNamesTheCulprit(t *testing.T) {
	for want, args := range map[string][]string{
		"--callers":                    {"--callers=0"},
		"--duration":                   {"--duration=10"},
		"--connect-timeout":            {"--connect-timeout=0s"},
		"--async":                      {"--async=-1"},
		`"stray"`:                      {"stray"},
		"--cert and --key":             {"--cert=a"},
		"--cert needs":                 {"--pd=a:1", "--cert=a", "--key=b"},
		"--cacert needs --pd":          {"--cacert=a"},
		"tso, upstream, adapter, bare": {"--impl=other"},
		"no futures":                   {"--impl=bare", "--async=2"},
		"unknown flag":                 {"--colour"},
	} {
		_, err := parse(args, env(nil))
		require.ErrorContains(t, err, want)
	}
	_, err := parse(nil, env(map[string]string{"CALLERS": "many"}))
	require.ErrorContains(t, err, "environment variable CALLERS")
}

func TestParse_Help(t *testing.T) {
	_, err := parse([]string{"--help"}, env(nil))
	require.ErrorIs(t, err, pflag.ErrHelp)
	for _, e := range environment {
		require.Contains(t, usage(), "[$"+e.variable+"]")
	}
}
