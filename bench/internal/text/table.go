package text

import (
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	style "github.com/jedib0t/go-pretty/v6/text"
)

// Table is a table without lines but for a rule between sections.
type Table struct {
	table.Writer
}

// NewTable returns an empty table. The columns with the given numbers, from 1,
// hold figures and are aligned to the right.
func NewTable(figures ...int) Table {
	t := Table{table.NewWriter()}
	s := table.StyleLight
	s.Options = table.Options{SeparateHeader: true}
	s.Format.Header = style.FormatDefault // not in capitals
	s.Box.PaddingLeft = ""
	s.Box.PaddingRight = "   "
	t.SetStyle(s)
	var columns []table.ColumnConfig
	for _, number := range figures {
		columns = append(columns, table.ColumnConfig{Number: number, Align: style.AlignRight, AlignHeader: style.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// Wrap breaks a text into lines of at most width characters, between words where
// it can.
func Wrap(s string, width int) string { return style.WrapSoft(s, width) }

// Section appends rows and a rule after them.
func (t Table) Section(rows []table.Row) {
	t.AppendRows(rows)
	t.AppendSeparator()
}

// String returns the table, without the blanks that fill up the last column.
func (t Table) String() string {
	lines := strings.Split(t.Render(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
