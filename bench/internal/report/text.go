package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/bench/internal/text"
)

// Text returns a table for each scenario: a row for each client, and the ratio of the
// first client to each of the others.
func Text(scenarios []scenario.Scenario, results []result.Result) string {
	var out strings.Builder
	for _, s := range sections(scenarios, results) {
		fmt.Fprintf(&out, "%s, on %s\n%s\n\n", s.scenario.Name(), s.scenario.Site, s.text())
	}
	return out.String()
}

func (s *section) text() string {
	header, numbers := table.Row{"client"}, []int{}
	for i, c := range s.columns {
		header, numbers = append(header, c.title), append(numbers, i+2)
	}
	t := text.NewTable(numbers...)
	t.AppendHeader(header)
	for _, r := range s.rows {
		cells := table.Row{r.name}
		for _, v := range r.values {
			cells = append(cells, v)
		}
		t.AppendRow(cells)
	}
	return t.String()
}

// Failures returns a line for each client whose calls have failed, which makes
// its other figures doubtful.
func Failures(results []result.Result) string {
	failed, lines := map[string]int64{}, ""
	for _, r := range results {
		failed[r.Rival] += r.Errors
	}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if n := failed[name]; n > 0 {
			lines += fmt.Sprintf("%s: %s calls FAILED\n", name, text.Count(n))
		}
	}
	return lines
}
