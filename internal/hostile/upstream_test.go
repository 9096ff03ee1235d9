package hostile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goFiles parses all Go files of the repository that keep approves of.
func goFiles(t testing.TB, mode parser.Mode, keep func(path string) bool) map[string]*ast.File {
	files := make(map[string]*ast.File)
	root := filepath.Join("..", "..")
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || !keep(path):
			return nil
		}
		files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, mode)
		return err
	}))
	require.NotEmpty(t, files)
	return files
}

// A table that names tests which are gone says nothing.
func TestUpstreamTableNamesTestsThatExist(t *testing.T) {
	table, err := os.ReadFile("UPSTREAM.md")
	require.NoError(t, err)
	there := make(map[string]bool)
	isTest := func(path string) bool { return strings.HasSuffix(path, "_test.go") }
	for _, file := range goFiles(t, parser.SkipObjectResolution, isTest) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				there[f.Name.Name] = true
			}
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[^`]*)`").FindAllStringSubmatch(string(table), -1)
	require.Greater(t, len(named), 80)
	for _, name := range named {
		require.True(t, there[name[1]], "UPSTREAM.md names %s, which is no test", name[1])
	}
	for _, line := range strings.Split(string(table), "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 1 {
			require.Len(t, cells, 4, line)
			require.NotEmpty(t, strings.TrimSpace(cells[2]), line)
		}
	}
}

// Regions and spans that do not exist cannot be ended wrongly, and gauges cannot
// leak.
func TestLibraryMakesNoTracesAndNoMetrics(t *testing.T) {
	library := []string{".", "ring", "batch", "member", "internal/wheel", "internal/wire", "internal/pderr", "internal/yieldconn"}
	files := goFiles(t, parser.ImportsOnly, func(path string) bool {
		dir, err := filepath.Rel(filepath.Join("..", ".."), filepath.Dir(path))
		return err == nil && slices.Contains(library, filepath.ToSlash(dir)) && !strings.HasSuffix(path, "_test.go")
	})
	for path, file := range files {
		for _, spec := range file.Imports {
			for _, unwanted := range []string{"runtime/trace", "opentracing", "opentelemetry", "prometheus"} {
				require.NotContains(t, spec.Path.Value, unwanted, path)
			}
		}
	}
}
