package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func TestRefuse(t *testing.T) {
	for _, tc := range []struct {
		err       error
		code      int
		refused   bool
		out, err2 string
	}{
		{nil, OK, false, "", ""},
		{pflag.ErrHelp, OK, true, "how to use it", ""},
		{errors.New("no such flag"), Usage, true, "", "it: no such flag\nTry --help.\n"},
	} {
		var stdout, stderr strings.Builder
		code, refused := Refuse("it", tc.err, "how to use it", &stdout, &stderr)
		require.Equal(t, tc.code, code)
		require.Equal(t, tc.refused, refused)
		require.Equal(t, tc.out, stdout.String())
		require.Equal(t, tc.err2, stderr.String())
	}
}
