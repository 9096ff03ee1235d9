package pdcluster

import "testing"

// StartT is [Start] for a test or benchmark: it fails tb if the cluster does not
// start, closes the cluster at the end, and names a file with the members' logs
// if tb failed.
func StartT(tb testing.TB, cfg Config) *Cluster {
	tb.Helper()
	c, err := Start(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(c.SaveLogs())
		}
		if err := c.Close(); err != nil {
			tb.Errorf("%v", err)
		}
	})
	return c
}
