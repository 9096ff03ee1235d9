// Package text writes numbers as people read them.
package text

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Count writes a whole number with commas: 1,234,567.
func Count[N int | int64 | uint64](n N) string {
	return message.NewPrinter(language.English).Sprintf("%d", n)
}

// Rate writes how many there are in a second, without decimals.
func Rate(n int64, d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return Count(int64(math.Round(float64(n) / d.Seconds())))
}

// Per writes a share of a whole to three digits, or "-" if there is no whole.
func Per(share float64, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return Digits(share / float64(whole))
}

// Digits writes a number to three digits, trailing zeros included, and without
// an exponent: 0.0123, 1.23, 12.3, 1,234.
func Digits(x float64) string {
	switch {
	case x == 0:
		return "0"
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "-"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(x))))
	if decimals <= 0 {
		return Count(int64(math.Round(x)))
	}
	const finest = 4 // below that it is nothing
	return fmt.Sprintf("%.*f", min(decimals, finest), x)
}

// Latency writes a duration to three digits, in a unit that leaves few of them
// before the point: 850 ns, 97.1 µs, 1.25 ms.
func Latency(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return Digits(float64(d)/1e3) + " µs"
	case d < time.Second:
		return Digits(float64(d)/1e6) + " ms"
	}
	return Digits(d.Seconds()) + " s"
}

// Host returns host:port of a URL, or what else it was given.
func Host(url string) string {
	if _, host, isURL := strings.Cut(url, "://"); isURL {
		return host
	}
	return url
}
