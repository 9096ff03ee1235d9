package pd

import (
	"os"
	"testing"

	"github.com/tikv/pd/client/metrics"
)

// PD's client makes its metrics with the first client, and uses them at once in others that
// are made at the same time.
func TestMain(m *testing.M) {
	metrics.InitAndRegisterMetrics(nil)
	os.Exit(m.Run())
}
