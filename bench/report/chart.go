package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Widths in which every chart is drawn, in the units of its SVG: for wide windows, and for
// phones.
const (
	wide   = 720
	narrow = 360
)

// seriesColours is the number of colours there are for series; markers differ, too.
const seriesColours = 8

// svg is a chart that is laid out for one width: what the template needs to write it.
type svg struct {
	ID, Title, Desc string
	Narrow          bool
	W, H            float64
	// Plot is the area of the data.
	Plot   rect
	Grid   []line // with the labels of the ticks
	Labels []label
	Series []drawn
	Legend []legendEntry
}

type rect struct{ X, Y, W, H float64 }

// Right and Bottom are the far edges.
func (r rect) Right() float64  { return r.X + r.W }
func (r rect) Bottom() float64 { return r.Y + r.H }

type line struct {
	X1, Y1, X2, Y2 float64
	Class          string
}

type label struct {
	X, Y   float64
	Text   string
	Anchor string // start, middle or end
	Class  string
}

// drawn is a series with its places.
type drawn struct {
	Name, Class string
	Path        string // of the line through the points, if there is one
	Points      []place
	Reference   bool
}

type place struct {
	X, Y  float64
	Shape string // path of the marker
	Title string
	// Bar is the interval, if there is one.
	Bar *line
}

type legendEntry struct {
	X, Y, MarkY      float64
	Shape, Class     string
	Text             string
	LineFrom, LineTo float64
}

// datum is a value with its interval, or the lowest and highest: none if Lo is Hi.
type datum struct {
	x             float64 // the number of the category, or a value on the axis
	value, lo, hi float64
	title         string
	apart         bool // no line leads to it
}

// plain keeps a datum within what a chart has room for, whatever a file says.
func plain(d datum) datum {
	within := func(v float64) float64 { return min(max(v, 1e-9), 1e12) }
	d.value, d.lo, d.hi = within(d.value), within(d.lo), within(d.hi)
	return d
}

type series struct {
	name      string
	data      []datum
	reference bool // a line to compare with, without markers
}

// num writes a coordinate.
func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// scale maps values to places.
type scale struct {
	lo, hi   float64
	from, to float64
	log      bool
}

func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
	}
	return s.from + (v-lo)/(hi-lo)*(s.to-s.from)
}

// logScale covers the values with whole steps of 1, 2 and 5.
func logScale(lo, hi float64) (s scale, ticks []float64) {
	s.log = true
	steps := func(n int) float64 {
		d := math.Floor(float64(n) / 3)
		return []float64{1, 2, 5}[n-3*int(d)] * math.Pow(10, d)
	}
	from := 3 * int(math.Floor(math.Log10(lo)))
	for steps(from+1) <= lo*1.0000001 {
		from++
	}
	to := from + 1
	for steps(to) < hi*0.9999999 {
		to++
	}
	s.lo, s.hi = steps(from), steps(to)
	every := 1
	if to-from > 8 {
		every = 3 // decades
	}
	for n := from; n <= to; n++ {
		if every == 1 || (n%3+3)%3 == 0 {
			ticks = append(ticks, steps(n))
		}
	}
	return s, ticks
}

// linearScale covers the values with round steps.
func linearScale(lo, hi float64) (s scale, ticks []float64) {
	if hi <= lo {
		hi = lo + 1
	}
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/3)))
	for _, f := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(step*f) <= 5 {
			step *= f
			break
		}
	}
	s.lo, s.hi = step*math.Floor(lo/step+1e-9), step*math.Ceil(hi/step-1e-9)
	for i := 0.0; s.lo+i*step <= s.hi+step/2; i++ {
		ticks = append(ticks, s.lo+i*step)
	}
	return s, ticks
}

// value writes a figure with three digits, or as many as it has before the point.
func value(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v))+1e-9)))
	return strconv.FormatFloat(v, 'f', min(digits, 4), 64)
}

// tick writes a figure without the noughts at its end.
func tick(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)
}

// marker returns the path of a marker: each series has another shape.
func marker(n int, x, y float64) string {
	const r = 4.5
	p := func(points ...float64) string {
		var b strings.Builder
		for i := 0; i < len(points); i += 2 {
			fmt.Fprintf(&b, "%c%s %s", "ML"[min(i, 1)], num(x+r*points[i]), num(y+r*points[i+1]))
		}
		return b.String() + "Z"
	}
	switch n % 4 {
	case 1:
		return p(-0.9, -0.9, 0.9, -0.9, 0.9, 0.9, -0.9, 0.9)
	case 2:
		return p(0, -1.25, 1.25, 0, 0, 1.25, -1.25, 0)
	case 3:
		return p(0, -1.2, 1.15, 0.85, -1.15, 0.85)
	}
	return fmt.Sprintf("M%s %sa%g %g 0 1 0 %g 0a%g %g 0 1 0 %g 0Z", num(x-r), num(y), r, r, 2*r, r, r, -2*r)
}

// class of a series.
func class(n int) string { return fmt.Sprintf("s%d", n%seriesColours) }

// textWidth guesses the width of a text in the font of labels: a test in a browser looks
// for those that leave the chart.
func textWidth(s string) float64 { return 6.4 * float64(len([]rune(s))) }

// lines is a chart of series over categories, or over places on an axis that is given.
type lines struct {
	id, title, desc string
	xName, yName    string
	categories      []string
	series          []series
	log             bool
}

// draw lays the chart out.
func (c lines) draw(width float64) svg {
	out := svg{ID: fmt.Sprintf("%s-%.0f", c.id, width), Title: c.title, Desc: c.desc, W: width, Narrow: width <= narrow}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		for i, d := range s.data {
			d = plain(d)
			s.data[i] = d
			lo, hi = min(lo, d.value, d.lo), max(hi, d.value, d.hi)
		}
	}
	var y scale
	var ticks []float64
	if c.log {
		y, ticks = logScale(lo, hi)
	} else {
		y, ticks = linearScale(0, hi)
	}
	// The legend first: it says how much is left.
	left, right, top := 52.0, 16.0, 22.0
	for _, s := range c.series {
		if s.reference {
			right = max(right, textWidth(s.name)+18)
		}
	}
	lx, ly := left, top+16
	for n, s := range c.series {
		if s.reference {
			continue
		}
		w := 30 + textWidth(s.name)
		if lx > left && lx+w > width-4 {
			lx, ly = left, ly+20
		}
		out.Legend = append(out.Legend, legendEntry{
			X: lx + 28, Y: ly + 4, MarkY: ly, Text: s.name, Class: class(n), Shape: marker(n, lx+12, ly), LineFrom: lx, LineTo: lx + 24,
		})
		lx += w + 14
	}
	top = ly + 22
	out.Plot = rect{left, top, width - left - right, 270}
	out.H = out.Plot.Bottom() + 44
	y.from, y.to = out.Plot.Bottom(), out.Plot.Y
	x := scale{lo: -0.5, hi: float64(len(c.categories)) - 0.5, from: out.Plot.X, to: out.Plot.Right()}
	out.Labels = append(out.Labels,
		label{X: 4, Y: 14, Text: c.yName, Anchor: "start", Class: "axis"},
		label{X: out.Plot.X + out.Plot.W/2, Y: out.H - 6, Text: c.xName, Anchor: "middle", Class: "axis"})
	for _, t := range ticks {
		at := y.at(t)
		out.Grid = append(out.Grid, line{out.Plot.X, at, out.Plot.Right(), at, "grid"})
		out.Labels = append(out.Labels, label{X: out.Plot.X - 7, Y: at + 4, Text: tick(t), Anchor: "end", Class: "tick y"})
	}
	// Labels of categories, or every second of them, that do not run into each other.
	longest := 0.0
	for _, s := range c.categories {
		longest = max(longest, textWidth(s)+6)
	}
	every := max(1, int(math.Ceil(longest/(out.Plot.W/float64(len(c.categories))))))
	for i, s := range c.categories {
		if (len(c.categories)-1-i)%every == 0 {
			out.Labels = append(out.Labels, label{X: x.at(float64(i)), Y: out.Plot.Bottom() + 18, Text: s, Anchor: "middle", Class: "tick x"})
		}
	}
	references := 0
	for n, s := range c.series {
		d := drawn{Name: s.name, Class: class(n), Reference: s.reference}
		if s.reference {
			d.Class = "reference"
			references++
		}
		var path strings.Builder
		for i, p := range s.data {
			px, py := x.at(p.x), y.at(p.value)
			switch {
			case p.apart && s.reference:
				fmt.Fprintf(&path, "M%s %sh24", num(px-12), num(py))
			case p.apart || i == 0:
				fmt.Fprintf(&path, "M%s %s", num(px), num(py))
			default:
				fmt.Fprintf(&path, "L%s %s", num(px), num(py))
			}
			if s.reference {
				continue
			}
			at := place{X: px, Y: py, Shape: marker(n, px, py), Title: p.title}
			if p.hi > p.lo {
				at.Bar = &line{px, y.at(p.lo), px, y.at(p.hi), ""}
			}
			d.Points = append(d.Points, at)
		}
		if len(s.data) > 1 {
			d.Path = path.String()
		}
		if s.reference && len(s.data) > 0 {
			last := s.data[len(s.data)-1]
			out.Labels = append(out.Labels, label{X: out.Plot.Right() + 5, Y: y.at(last.value) + 4, Text: s.name, Anchor: "start", Class: "tick reference"})
		}
		out.Series = append(out.Series, d)
	}
	return out
}

// rows is a chart with a row for each datum: a dot and its interval.
type rows struct {
	id, title, desc string
	xName           string
	names           []string
	data            []datum
	log             bool
	// one, if set, is a line to compare with.
	one float64
}

// draw lays the chart out.
func (c rows) draw(width float64) svg {
	out := svg{ID: fmt.Sprintf("%s-%.0f", c.id, width), Title: c.title, Desc: c.desc, W: width, Narrow: width <= narrow}
	lo, hi := math.Inf(1), math.Inf(-1)
	if c.one > 0 {
		lo, hi = c.one, c.one
	}
	longest := 0.0
	for i, d := range c.data {
		d = plain(d)
		c.data[i] = d
		lo, hi = min(lo, d.value, d.lo), max(hi, d.value, d.hi)
		longest = max(longest, textWidth(c.names[i]))
	}
	var x scale
	var ticks []float64
	if c.log {
		x, ticks = logScale(lo, hi)
	} else {
		x, ticks = linearScale(min(lo, 0), hi)
	}
	// Names beside the rows, or where that leaves little, above them.
	pitch, left, above := 26.0, longest+16, false
	if left > width/2 {
		pitch, left, above = 40, 14, true
	}
	out.Plot = rect{left, 8, width - left - 60, pitch*float64(len(c.data)) + 6}
	out.H = out.Plot.Bottom() + 44
	x.from, x.to = out.Plot.X, out.Plot.Right()
	for i, t := range ticks {
		at := x.at(t)
		out.Grid = append(out.Grid, line{at, out.Plot.Y, at, out.Plot.Bottom(), "grid"})
		if i%2 == 0 || float64(len(ticks))*textWidth("0000 ") < out.Plot.W {
			out.Labels = append(out.Labels, label{X: at, Y: out.Plot.Bottom() + 18, Text: tick(t), Anchor: "middle", Class: "tick x"})
		}
	}
	if c.one > 0 {
		at := x.at(c.one)
		out.Grid = append(out.Grid, line{at, out.Plot.Y, at, out.Plot.Bottom(), "one"})
	}
	out.Labels = append(out.Labels, label{X: out.Plot.X + out.Plot.W/2, Y: out.H - 6, Text: c.xName, Anchor: "middle", Class: "axis"})
	s := drawn{Name: c.title, Class: class(0)}
	for i, d := range c.data {
		y := out.Plot.Y + pitch*(float64(i)+0.5) + 3
		name := label{X: left - 10, Y: y + 4, Text: c.names[i], Anchor: "end", Class: "tick y"}
		if above {
			name = label{X: 4, Y: y - 7, Text: c.names[i], Anchor: "start", Class: "tick y"}
			y += 8
		}
		out.Labels = append(out.Labels, name)
		at := place{X: x.at(d.value), Y: y, Title: d.title}
		at.Shape = marker(0, at.X, y)
		end := at.X
		if d.hi > d.lo {
			at.Bar = &line{x.at(d.lo), y, x.at(d.hi), y, ""}
			end = max(end, at.Bar.X2)
		}
		s.Points = append(s.Points, at)
		out.Labels = append(out.Labels, label{X: end + 9, Y: y + 4, Text: value(d.value), Anchor: "start", Class: "value"})
	}
	out.Series = []drawn{s}
	return out
}
