package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"os"
	"path/filepath"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template gets.
type page struct {
	Header   result.Header
	Verdicts []verdict
	Pictures []embedded
	Sections []figures
	Failures string
}

// embedded is a picture within the page.
type embedded struct {
	Caption string
	Source  template.URL
}

// figures are a section as the template wants it.
type figures struct {
	Name, Site string
	Titles     []string
	Rows       []figuresRow
}

type figuresRow struct {
	Name   string
	Ratio  bool
	Values []string
}

// Write writes the report into a folder: a page that needs nothing beside it, its
// pictures as files, and the results.
func Write(dir string, scenarios []scenario.Scenario, file result.File) error {
	drawn, err := pictures(file.Results)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, p := range drawn {
		if err := os.WriteFile(filepath.Join(dir, p.Name+".png"), p.PNG, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newPage(scenarios, file, drawn)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "report.html"), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return file.Write(filepath.Join(dir, "results.json"))
}

func newPage(scenarios []scenario.Scenario, file result.File, drawn []picture) page {
	p := page{Header: file.Header, Verdicts: judge(file.Results), Failures: Failures(file.Results)}
	for _, d := range drawn {
		source := "data:image/png;base64," + base64.StdEncoding.EncodeToString(d.PNG)
		p.Pictures = append(p.Pictures, embedded{d.Caption, template.URL(source)})
	}
	for _, s := range sections(scenarios, file.Results) {
		t := figures{Name: s.scenario.Name(), Site: string(s.scenario.Site)}
		for _, c := range s.columns {
			t.Titles = append(t.Titles, c.title)
		}
		for _, r := range s.rows {
			t.Rows = append(t.Rows, figuresRow{r.name, r.ratio, r.values})
		}
		p.Sections = append(p.Sections, t)
	}
	return p
}
