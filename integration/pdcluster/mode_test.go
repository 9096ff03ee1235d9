package pdcluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig_APIModeNeedsServices(t *testing.T) {
	_, err := Start(t.Context(), Config{Mode: APIMode})
	require.ErrorIs(t, err, errNoServices)
	_, err = Start(t.Context(), Config{TSOServices: -1})
	require.ErrorContains(t, err, "must not be negative")
	for _, both := range []Config{{TSOServices: 1, LocalTSO: true}, {TSOServices: 1, TLS: true}} {
		_, err = Start(t.Context(), both)
		require.ErrorContains(t, err, "exclude each other")
	}
	require.ErrorIs(t, (&Cluster{}).SetMode(t.Context(), APIMode), errNoServices)
}
