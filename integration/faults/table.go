package faults

import (
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Table returns the results as a table, ready to be rendered as text or Markdown.
func Table(results []*Result) table.Writer {
	t := table.NewWriter()
	t.SetStyle(style())
	t.AppendHeader(table.Row{
		"fault", "floor", "upstream adds", "errors", "longest call", "ours adds", "target", "errors", "longest call", "violations", "machine",
	})
	for _, r := range results {
		t.AppendRow(r.cells())
	}
	return t
}

func style() table.Style {
	s := table.StyleLight
	s.Options = table.Options{SeparateHeader: true}
	s.Format.Header = text.FormatDefault
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "   "
	return s
}

func (r *Result) cells() table.Row {
	row := table.Row{r.Row.Name, r.floor()}
	row = append(row, r.figures(Upstream)...)
	ours := r.figures(Ours)
	return append(row, ours[0], "≤ "+r.Row.Target.String(), ours[1], ours[2], r.violations(), brief(r.Machine))
}

// floor writes for how long nobody could be served.
func (r *Result) floor() string {
	if len(r.Floors) == 0 {
		return "none"
	}
	least, most := brief(r.Floors[0]), brief(r.Floors[len(r.Floors)-1])
	if least == most {
		return least
	}
	return least + " to " + most
}

// figures writes what a client added, its errors, and its longest call.
func (r *Result) figures(client string) []any {
	o := r.Of(client)
	switch {
	case r.Refused[client] != nil:
		return []any{"refuses the option", "", ""}
	case o == nil:
		return []any{"", "", ""}
	}
	return []any{o.adds(), o.Errors, brief(o.Longest)}
}

func (o *Outcome) adds() string {
	adds := brief(o.Adds)
	if !o.Recovered {
		adds = "over " + adds + ", not recovered"
	}
	if o.Scope != "" {
		adds += " in " + o.Scope
	}
	return adds
}

// violations writes those of our client, and how many more there are if the
// timestamps of both clients are taken together.
func (r *Result) violations() string {
	n := 0
	if o := r.Of(Ours); o != nil {
		n = len(o.Violations)
	}
	if more := len(r.Together) - n; more > 0 {
		return fmt.Sprintf("%d (+%d)", n, more)
	}
	return fmt.Sprint(n)
}

// brief writes a duration with two digits or so.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Missed returns what our client failed to do in a row, or "" if it did all. The
// target counts so many times, and some room comes on top, where others use the machine
// too; in any case what the machine added to everybody does.
func (r *Result) Missed(times int, room time.Duration) string {
	if err := r.Refused[Ours]; err != nil {
		return err.Error()
	}
	o := r.Of(Ours)
	if o == nil {
		return ""
	}
	var missed []string
	if limit := r.Row.Target*time.Duration(times) + room + r.Machine; o.Adds > limit {
		missed = append(missed, fmt.Sprintf("added %v where %v are allowed, over %v after the fault",
			o.Adds, limit, o.At.Round(time.Millisecond)))
	}
	if o.Errors > 0 && !r.Row.Errors {
		missed = append(missed, fmt.Sprintf("%d errors: %v", o.Errors, o.Messages))
	}
	if len(r.Together) > 0 {
		missed = append(missed, fmt.Sprintf("%d violations, %d of it among its own timestamps: %v",
			len(r.Together), len(o.Violations), r.Together[0]))
	}
	return strings.Join(missed, "; ")
}
