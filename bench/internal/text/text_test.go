package text

import (
	"math"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"
)

func TestDigits(t *testing.T) {
	for want, x := range map[string]float64{
		"0": 0, "0.0123": 0.0123, "0.0001": 0.00009, "1.00": 1, "12.3": 12.34,
		"123": 123.4, "1,235": 1234.6, "-": math.NaN(),
	} {
		require.Equal(t, want, Digits(x), "%v", x)
	}
}

func TestLatency(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0 ns": 0, "850 ns": 850, "1.00 µs": time.Microsecond, "97.1 µs": 97_100,
		"1.25 ms": 1_250_000, "999 ms": 999 * time.Millisecond, "20.0 s": 20 * time.Second,
	} {
		require.Equal(t, want, Latency(d))
	}
}

func TestRate(t *testing.T) {
	require.Equal(t, "2,000", Rate(1000, time.Second/2))
	require.Equal(t, "0", Rate(1000, 0))
	require.Equal(t, "-", Per(3, 0))
	require.Equal(t, "1.50", Per(3, 2))
}

func TestHost(t *testing.T) {
	require.Equal(t, "pd:2379", Host("http://pd:2379"))
	require.Equal(t, "pd:2379", Host("pd:2379"))
}

func TestTable_HasNothingButWhatIsInIt(t *testing.T) {
	tab := NewTable(2)
	tab.AppendHeader(table.Row{"name", "figure"})
	tab.Section([]table.Row{{"one", 1}, {"hundred", 100, "a note"}})
	tab.Section([]table.Row{{"two", 2}})
	require.Equal(t, `name      figure
────────────────────────────
one            1
hundred      100   a note
────────────────────────────
two            2`, tab.String())
}
