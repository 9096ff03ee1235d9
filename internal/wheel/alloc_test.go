//go:build !race

package wheel

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The race detector allocates, so these gates hold without it.
func TestAllocs(t *testing.T) {
	w := New()
	defer w.Close()
	var linked, fresh Timer
	linked.Init(w, func() {})
	fresh.Init(w, func() {})
	linked.Reset(time.Hour)
	d := 2 * time.Hour
	for _, tt := range []struct {
		name string
		f    func()
	}{
		{"Reset later", func() { linked.Reset(2 * time.Hour) }},
		{"Reset and Stop", func() { linked.Reset(time.Hour); linked.Stop() }},
		{"Reset earlier", func() { d -= time.Second; fresh.Reset(d) }},
		{"Reset to fire", func() { fresh.Reset(0) }},
	} {
		require.Zero(t, testing.AllocsPerRun(1000, tt.f), tt.name)
	}
}
