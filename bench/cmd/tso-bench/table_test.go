package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/internal/history"
)

// fixed is a report in which every line is in use.
func fixed() *report {
	at := time.Date(2026, time.August, 5, 10, 35, 28, 123e6, time.UTC)
	return &report{
		title: "tso, 64 callers, against the embedded server", embedded: true, early: true,
		calls: 1_234_567, failed: 12, wall: 3210 * time.Millisecond,
		latency: load.Latency{
			P50: 171 * time.Microsecond, P90: 250 * time.Microsecond, P99: 1_230 * time.Microsecond,
			P999: 12 * time.Millisecond, Max: 2 * time.Second,
		},
		faults:  []load.Fault{{Kind: "budget spent", Count: 12, Last: errors.New("no\nluck")}},
		stats:   impl.Stats{RPCs: 20_000, Timestamps: 1_234_567},
		usage:   load.Usage{CPU: 2 * time.Second, Mallocs: 400_000, Bytes: 9_000_000, GCs: 3},
		order:   order{checked: true, calls: 1_234_567, unchecked: 5},
		samples: []uint64{tso.ComposeTS(at.UnixMilli(), 1), tso.ComposeTS(at.UnixMilli()+1500, 262143)},
	}
}

func TestReport_Table(t *testing.T) {
	require.Equal(t, strings.TrimSpace(`
tso, 64 callers, against the embedded server, interrupted after 3.21s
timestamps                  1,234,567
timestamps/s                  384,600
RPCs                           20,000
timestamps/RPC                   61.7
─────────────────────────────────────────────────────────────────────────────────────────────────────
latency p50                    171 µs
latency p90                    250 µs
latency p99                   1.23 ms
latency p99.9                 12.0 ms
latency max                    2.00 s
─────────────────────────────────────────────────────────────────────────────────────────────────────
errors                             12
  budget spent                     12   last: no luck
─────────────────────────────────────────────────────────────────────────────────────────────────────
CPU/timestamp                 1.62 µs   of the process: client, load generator, embedded server
allocs/timestamp                0.324   the same; recording a call allocates nothing
bytes/timestamp                  7.29   the same, and what the order check keeps
GC cycles                           3
─────────────────────────────────────────────────────────────────────────────────────────────────────
order check                    passed   1,234,567 calls checked; 5 came too late to be checked for
                                        duplicates
─────────────────────────────────────────────────────────────────────────────────────────────────────
for example        468169818930675713   2026-08-05 10:35:28.123 UTC, logical 1
                   468169819324153855   2026-08-05 10:35:29.623 UTC, logical 262,143
`), fixed().render())
	require.NoError(t, fixed().err())
}

func TestReport_ViolationsFailTheRun(t *testing.T) {
	r := fixed()
	r.order.faults = 2
	r.order.first = history.CreationOrder([]uint64{5, 3})
	require.Error(t, r.err())
	require.Contains(t, r.render(), "FAILED")
	require.Contains(t, r.render(), "2 violations in 1,234,567 calls")
	require.Contains(t, r.render(), "creation order: future")
}

func TestReport_NothingObtained(t *testing.T) {
	r := &report{order: order{checked: true}}
	require.ErrorContains(t, r.err(), "no timestamp")
	require.NotContains(t, r.render(), "NaN")
	require.NotContains(t, r.render(), "passed")
}

func TestReport_RealPDIsNotInTheProcess(t *testing.T) {
	r := fixed()
	r.embedded = false
	require.NotContains(t, r.render(), "load generator, embedded server")
}

func TestLine(t *testing.T) {
	require.Equal(t, "    12s           0 ts/s  p50        -  p99        -  errors 0  leader pd-1:2379",
		line(12*time.Second, time.Second, &load.Counts{}, "http://pd-1:2379"))
}
