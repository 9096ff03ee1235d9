package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/tsoring/tso/bench/internal/text"
)

// The pictures are read on a screen.
const (
	width, height = 8 * vg.Inch, 4.6 * vg.Inch
	dpi           = 110
)

// style is how a client is drawn: the same in all pictures.
type style struct {
	name  string
	color color.Color
	shape vgdraw.GlyphDrawer
}

var styles = []style{
	{"tso", color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff}, vgdraw.CircleGlyph{}},
	{"upstream", color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}, vgdraw.BoxGlyph{}},
	{"upstream-4", color.RGBA{R: 0x6b, G: 0xb3, B: 0xe3, A: 0xff}, vgdraw.PyramidGlyph{}},
	{"adapter", color.RGBA{R: 0xff, G: 0x8c, B: 0x1a, A: 0xff}, vgdraw.SquareGlyph{}},
	{"bare", color.RGBA{R: 0x55, G: 0x55, B: 0x55, A: 0xff}, vgdraw.CrossGlyph{}},
}

// newPlot returns an empty picture.
func newPlot(title, x, y string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = 12
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Label.Padding, p.Y.Label.Padding = vg.Points(6), vg.Points(6)
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = 11, 11
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = 10, 10
	p.Legend.TextStyle.Font.Size = 10
	p.Legend.Padding = vg.Points(3)
	p.Legend.ThumbnailWidth = vg.Points(28)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{Y: 225}, color.Gray{Y: 225}
	p.Add(grid)
	return p
}

// line adds a client's line, and its name to the legend if it is not empty.
func line(p *plot.Plot, s style, name string, points plotter.XYs, dashed, marks bool) error {
	if len(points) == 0 {
		return nil
	}
	l, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = s.color, vg.Points(2)
	dots.GlyphStyle = vgdraw.GlyphStyle{Color: s.color, Radius: vg.Points(3.2), Shape: s.shape}
	if dashed {
		l.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	p.Add(l)
	shown := []plot.Thumbnailer{l}
	if marks {
		p.Add(dots)
		shown = append(shown, dots)
	}
	if name != "" {
		p.Legend.Add(name, shown...)
	}
	return nil
}

// logarithmic gives an axis ticks at 1, 2 and 5 of each power of ten.
func logarithmic(a *plot.Axis, label func(float64) string) {
	a.Scale = plot.LogScale{}
	a.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick {
		var ticks []plot.Tick
		few := high/low > 300 // then only the powers are labelled
		for unit := math.Pow(10, math.Floor(math.Log10(low))); unit <= high; unit *= 10 {
			for _, digit := range []float64{1, 2, 5} {
				if v := digit * unit; v >= low*(1-1e-9) && v <= high*(1+1e-9) {
					t := plot.Tick{Value: v}
					if digit == 1 || !few {
						t.Label = label(v)
					}
					ticks = append(ticks, t)
				}
			}
		}
		return ticks
	})
}

// latencyLabel writes round latencies without what makes others precise.
func latencyLabel(ns float64) string {
	d := time.Duration(math.Round(ns))
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d/time.Microsecond)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func countLabel(n float64) string { return text.Count(int64(math.Round(n))) }

// named gives an axis ticks with names at 0, 1, 2 and so on.
func named(a *plot.Axis, names []string) {
	ticks := make([]plot.Tick, len(names))
	for i, n := range names {
		ticks[i] = plot.Tick{Value: float64(i), Label: n}
	}
	a.Tick.Marker = plot.ConstantTicks(ticks)
	a.Min, a.Max = -0.15, float64(len(names)-1)+0.15
}

// encode draws the picture as a PNG. It has a palette, which makes it a third as large:
// results are kept.
func encode(p *plot.Plot) ([]byte, error) {
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))
	area := vgdraw.Crop(vgdraw.New(canvas), vg.Points(6), -vg.Points(14), vg.Points(6), -vg.Points(6))
	p.Draw(area)
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err := encoder.Encode(&b, paletted(canvas.Image()))
	return b.Bytes(), err
}

// paletted returns the picture in the colours that it has most of. The others, in the
// edges of lines, become the nearest of them.
func paletted(drawn image.Image) *image.Paletted {
	const most = 64
	full := image.NewRGBA(drawn.Bounds())
	draw.Draw(full, full.Bounds(), drawn, drawn.Bounds().Min, draw.Src)
	count := map[[4]byte]int{}
	for i := 0; i < len(full.Pix); i += 4 {
		count[[4]byte(full.Pix[i:])]++
	}
	var colors color.Palette
	place := map[[4]byte]uint8{}
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b [4]byte) int { return count[b] - count[a] }) {
		rgba := color.RGBA{R: c[0], G: c[1], B: c[2], A: c[3]}
		if len(colors) < most {
			colors = append(colors, rgba)
		}
		place[c] = uint8(colors.Index(rgba))
	}
	small := image.NewPaletted(full.Bounds(), colors)
	for i := range small.Pix {
		small.Pix[i] = place[[4]byte(full.Pix[4*i:])]
	}
	return small
}
