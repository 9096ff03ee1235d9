package exported

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesOfAllKinds(t *testing.T) {
	require.Equal(t, []string{"Alias", "Constant", "Function", "Type", "Variable"}, In(t, "testdata/kinds"))
	require.Equal(t, []string{"In", "Of"}, Of(t, Of))
}
