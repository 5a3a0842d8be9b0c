package report

import (
	"cmp"
	_ "embed" // the template
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"example.org/pmd/bench"
	"example.org/pmd/bench/gate"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"num": num}).Parse(pageText))

// figure is a chart with its table.
type figure struct {
	Charts []svg // one a width
	Title  string
	Note   string
	Head   []string
	Rows   [][]string
}

// section is a part of the page.
type section struct {
	ID, Title, Text string
	Figures         []figure
}

// Records are what a page is made of, each kind in the order of the lines.
type Records struct {
	bench.Records
	// Gate has what came of comparing revisions.
	Gate []*gate.Outcome
}

// Read reads what `pmd bench run`, `peers` and `gate` wrote with --json, line by line, in any
// mixture. The error names the line that is nothing of that, or is of another version or cut
// off; the records are those of the lines before.
func Read(r io.Reader) (out Records, err error) {
	err = bench.ReadLines(r, func(line []byte) error {
		o, is, err := gate.ParseOutcome(line)
		if !is {
			return out.Add(line)
		}
		if err == nil {
			out.Gate = append(out.Gate, o)
		}
		return err
	})
	return out, err
}

// Write writes the page of these records. It is an error if there are none with figures.
func Write(w io.Writer, records Records) error {
	var whole []*bench.Result
	for _, r := range records.Results {
		if len(r.Rounds) > 0 && r.PPS > 0 {
			whole = append(whole, r)
		}
	}
	var compared []*bench.PeerResult
	environments := []bench.Environment{}
	var times []time.Time
	for _, r := range records.Peers {
		if r.Ratio.Median > 0 && r.Valid >= bench.MinRounds {
			compared = append(compared, r)
			environments, times = append(environments, r.Environment), append(times, r.Time)
		}
	}
	for _, r := range whole {
		environments, times = append(environments, r.Environment), append(times, r.Time)
	}
	for _, o := range records.Gate {
		environments, times = append(environments, o.Environment), append(times, o.Time)
	}
	if len(times) == 0 {
		return errors.New("report: there are no results with rounds")
	}
	// The newest of each scenario.
	slices.SortStableFunc(whole, func(a, b *bench.Result) int { return a.Time.Compare(b.Time) })
	newest := map[string]*bench.Result{}
	for _, r := range whole {
		newest[r.Name] = r
	}
	latest := slices.SortedFunc(maps.Values(newest), func(a, b *bench.Result) int {
		return cmp.Or(cmp.Compare(a.Scenario.Driver, b.Scenario.Driver), cmp.Compare(a.Scenario.Mode, b.Scenario.Mode),
			rank(a.Scenario.Size)-rank(b.Scenario.Size), cmp.Compare(a.Name, b.Name))
	})
	data := struct {
		From, To time.Time
		Results  int
		Machines []machine
		Sections []section
		Warnings []string
		Colours  [seriesColours]struct{}
	}{
		From: slices.MinFunc(times, time.Time.Compare), To: slices.MaxFunc(times, time.Time.Compare),
		Results: len(times), Machines: machines(environments),
	}
	for _, r := range latest {
		if r.Disturbed != "" {
			data.Warnings = append(data.Warnings, r.Name+": "+r.Disturbed)
		}
		if r.Partial {
			data.Warnings = append(data.Warnings, fmt.Sprintf("%s: interrupted after %d rounds", r.Name, len(r.Rounds)))
		}
	}
	newestOf := newestPeers(compared)
	for _, r := range newestOf {
		if r.Disturbed != "" {
			data.Warnings = append(data.Warnings, r.Name+": "+r.Disturbed)
		}
		if r.Partial {
			data.Warnings = append(data.Warnings, fmt.Sprintf("%s: interrupted after %d rounds", r.Name, len(r.Rounds)))
		}
	}
	for _, s := range []section{throughput(latest), bySize(latest), latencies(latest), peers(newestOf), verdicts(records.Gate), history(whole, latest)} {
		if len(s.Figures) > 0 {
			data.Sections = append(data.Sections, s)
		}
	}
	if err := page.Execute(w, data); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// machine is an environment and how many results are of it.
type machine struct {
	CPU, Text, Revisions string
	Results              int
}

// machines groups the results by environment.
func machines(environments []bench.Environment) (out []machine) {
	revisions := map[string][]string{}
	for _, e := range environments {
		words := []string{"Linux " + e.Kernel, e.Arch, e.Go, fmt.Sprintf("%d CPUs", e.CPUs)}
		if e.OS != "linux" {
			words[0] = e.OS
		}
		if e.Virtual {
			words = append(words, "virtual machine")
		}
		for _, f := range [][2]string{{"governor", e.Governor}, {"SMT", e.SMT}, {"isolated CPUs", e.Isolated}, {"mitigations", strings.Join(e.Mitigations, ", ")}} {
			if f[1] != "" {
				words = append(words, f[0]+" "+f[1])
			}
		}
		text := strings.Join(words, " · ")
		i := slices.IndexFunc(out, func(m machine) bool { return m.CPU == e.CPU && m.Text == text })
		if i < 0 {
			out, i = append(out, machine{CPU: e.CPU, Text: text}), len(out)
		}
		out[i].Results++
		if rev := short(e.Revision); rev != "" && !slices.Contains(revisions[e.CPU+text], rev) {
			revisions[e.CPU+text] = append(revisions[e.CPU+text], rev)
			out[i].Revisions = strings.Join(revisions[e.CPU+text], ", ")
		}
	}
	return out
}

// short is a revision as people write it.
func short(revision string) string {
	if hash, changed := strings.CutSuffix(revision, "+"); len(hash) > 9 {
		if changed {
			return hash[:9] + "+"
		}
		return hash[:9]
	}
	return revision
}

// draw draws a chart for both widths.
func draw(c interface{ draw(float64) svg }) []svg { return []svg{c.draw(wide), c.draw(narrow)} }

// spread is the lowest and the highest round, in millions a second.
func spread(r *bench.Result) (lo, hi float64) {
	lo, hi = r.PPS/1e6, r.PPS/1e6
	for _, round := range r.Rounds {
		lo, hi = min(lo, round.PPS/1e6), max(hi, round.PPS/1e6)
	}
	return lo, hi
}

// spelled is a scenario's name for people: what they can guess is left out.
func spelled(s bench.Scenario) string {
	words := strings.Split(s.Name(), "/")
	for i, w := range words {
		key, v, _ := strings.Cut(w, "=")
		switch {
		case key == "driver" || key == "mode":
			words[i] = v
		case key == "size" && s.Size == bench.IMIX:
			words[i] = "IMIX"
		case key == "size":
			words[i] = v + " B"
		case key == "flows":
			words[i] = v + " flows"
		case key == "cores":
			words[i] = v + " cores"
		default:
			words[i] = v
		}
	}
	return strings.Join(words, " ")
}

// throughput shows every scenario.
func throughput(latest []*bench.Result) section {
	s := section{ID: "throughput", Title: "Throughput", Text: "The newest result of every scenario: the median of its rounds, with the lowest and the highest."}
	if len(latest) == 0 {
		return s
	}
	c := rows{id: "throughput", title: "Throughput of every scenario", xName: "million packets a second, logarithmic", log: true}
	f := figure{Title: c.title, Head: []string{"scenario", "Mpps", "lowest", "highest", "ns/pkt", "rounds", "ports"}}
	for _, r := range latest {
		lo, hi := spread(r)
		c.names = append(c.names, spelled(r.Scenario))
		c.data = append(c.data, datum{value: r.PPS / 1e6, lo: lo, hi: hi, title: fmt.Sprintf("%s: %s Mpps (%s to %s)", spelled(r.Scenario), value(r.PPS/1e6), value(lo), value(hi))})
		f.Rows = append(f.Rows, []string{spelled(r.Scenario), value(r.PPS / 1e6), value(lo), value(hi), value(r.NsPerPacket), fmt.Sprint(len(r.Rounds)), strings.Join(slices.Compact(slices.Clone(r.Ports)), ", ")})
	}
	c.desc = fmt.Sprintf("%d scenarios, each with a dot at its median rate and a bar from its lowest to its highest round.", len(latest))
	f.Charts = draw(c)
	s.Figures = []figure{f}
	return s
}

// sizeName writes a size of frames.
func sizeName(size int) string {
	if size == bench.IMIX {
		return "IMIX"
	}
	return fmt.Sprint(size)
}

// bySize shows, for each driver, the scenarios that were measured at several sizes.
func bySize(latest []*bench.Result) section {
	s := section{ID: "sizes", Title: "Throughput by frame size", Text: "Dashed: what an Ethernet link of 10 to 100 Gbit/s carries at most, with the 20 bytes of preamble and gap, and the check sequence of 4, that each frame has there."}
	of := map[string]map[string][]*bench.Result{} // by driver and what is left of the name without the size
	for _, r := range latest {
		key := r.Scenario
		key.Size = 64
		if of[key.Driver] == nil {
			of[key.Driver] = map[string][]*bench.Result{}
		}
		name := strings.TrimPrefix(strings.Replace(spelled(key), " 64 B", "", 1), key.Driver+" ")
		of[key.Driver][name] = append(of[key.Driver][name], r)
	}
	for _, driver := range slices.Sorted(maps.Keys(of)) {
		c := lines{id: "sizes-" + driver, title: "Throughput by frame size, driver " + driver, xName: "bytes a frame", yName: "million packets a second, logarithmic", log: true}
		f := figure{Title: c.title, Head: []string{"mode", "bytes", "Mpps", "Gbit/s on a link"}}
		// Sizes that any of the series has.
		var sizes []int
		for _, rs := range of[driver] {
			for _, r := range rs {
				if len(rs) > 1 && !slices.Contains(sizes, r.Scenario.Size) {
					sizes = append(sizes, r.Scenario.Size)
				}
			}
		}
		slices.SortFunc(sizes, func(a, b int) int { return rank(a) - rank(b) })
		for _, size := range sizes {
			c.categories = append(c.categories, sizeName(size))
		}
		for _, name := range slices.Sorted(maps.Keys(of[driver])) {
			rs := of[driver][name]
			if len(rs) < 2 {
				continue
			}
			slices.SortFunc(rs, func(a, b *bench.Result) int { return rank(a.Scenario.Size) - rank(b.Scenario.Size) })
			line := series{name: name}
			for _, r := range rs {
				lo, hi := spread(r)
				bits := r.PPS * 1e9 / LineRate(r.Scenario, 1e9) / 1e9
				line.data = append(line.data, datum{x: float64(slices.Index(sizes, r.Scenario.Size)), value: r.PPS / 1e6, lo: lo, hi: hi, apart: r.Scenario.Size == bench.IMIX,
					title: fmt.Sprintf("%s, %s bytes: %s Mpps, as on a link of %s Gbit/s", name, sizeName(r.Scenario.Size), value(r.PPS/1e6), value(bits))})
				f.Rows = append(f.Rows, []string{name, sizeName(r.Scenario.Size), value(r.PPS / 1e6), value(bits)})
			}
			c.series = append(c.series, line)
		}
		if len(c.series) == 0 {
			continue
		}
		for _, speed := range linkSpeeds() {
			ref := series{name: fmt.Sprintf("%dG", speed), reference: true}
			for i, size := range sizes {
				rate := LineRate(bench.Scenario{Driver: driver, Size: size}, float64(speed)*1e9) / 1e6
				ref.data = append(ref.data, datum{x: float64(i), value: rate, lo: rate, hi: rate, apart: size == bench.IMIX})
			}
			c.series = append(c.series, ref)
		}
		c.desc = fmt.Sprintf("%d lines over %d sizes of frames, beside the rates of links.", len(c.series)-len(linkSpeeds()), len(sizes))
		f.Charts = draw(c)
		s.Figures = append(s.Figures, f)
	}
	return s
}

// rank orders sizes: the mix is last.
func rank(size int) int {
	if size == bench.IMIX {
		return 1 << 20
	}
	return size
}

// latencies shows the percentiles of each scenario that has them.
func latencies(latest []*bench.Result) section {
	s := section{ID: "latency", Title: "Latency", Text: "How long frames took, by share of frames and by load; the scale of shares stretches towards the slowest."}
	for i, r := range latest {
		c := lines{id: fmt.Sprintf("latency-%d", i), title: "Latency, " + spelled(r.Scenario), xName: "percentile", yName: "microseconds, logarithmic", log: true}
		f := figure{Title: c.title, Head: []string{"load", "Mpps", "percentile", "µs", "frames", "lost"}}
		// The percentiles that any load has, each at a place of its own.
		var percents []float64
		for _, l := range r.Latency {
			for _, p := range l.Percentiles {
				if p.Ns > 0 && !slices.Contains(percents, p.Percent) {
					percents = append(percents, p.Percent)
				}
			}
		}
		slices.Sort(percents)
		for _, p := range percents {
			c.categories = append(c.categories, percentName(p))
		}
		for _, l := range r.Latency {
			line := series{name: fmt.Sprintf("%.0f %% load", 100*l.Load)}
			for _, p := range l.Percentiles {
				if p.Ns <= 0 {
					continue // has no place on a logarithmic axis
				}
				us := p.Ns / 1e3
				line.data = append(line.data, datum{x: float64(slices.Index(percents, p.Percent)), value: us, lo: us, hi: us,
					title: fmt.Sprintf("%s of frames at %s: %s µs or less", percentName(p.Percent), line.name, value(us))})
				f.Rows = append(f.Rows, []string{line.name, value(l.PPS / 1e6), percentName(p.Percent), value(us), fmt.Sprint(l.Frames), fmt.Sprint(l.Lost)})
			}
			if len(line.data) > 0 {
				c.series = append(c.series, line)
			}
		}
		if len(c.series) == 0 {
			continue
		}
		c.desc = fmt.Sprintf("%d loads at %d percentiles.", len(c.series), len(percents))
		f.Charts = draw(c)
		s.Figures = append(s.Figures, f)
	}
	return s
}

// percentName writes a percentile.
func percentName(p float64) string {
	if p >= 100 {
		return "max"
	}
	return "p" + tick(p)
}

// newestPeers are the newest of each comparison, by name.
func newestPeers(compared []*bench.PeerResult) (out []*bench.PeerResult) {
	newest := map[string]*bench.PeerResult{}
	for _, r := range compared {
		if old := newest[r.Name]; old == nil || !r.Time.Before(old.Time) {
			newest[r.Name] = r
		}
	}
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		out = append(out, newest[name])
	}
	return out
}

// peers shows the ratios to other programs.
func peers(newest []*bench.PeerResult) section {
	s := section{ID: "peers", Title: "Against peers", Text: "Our rate to that of another program on the same work in the same run: right of 1 ours is faster. Where latency is compared, both forward at the same rate, and left of 1 ours is shorter. The bar is the interval of the ratio. CPU is how many of the CPUs were busy on each side."}
	rates := rows{id: "peers", title: "Ratios to peers", xName: "times the peer's rate, logarithmic", log: true, one: 1}
	f := figure{Title: rates.title, Head: []string{"comparison", "ours, Mpps", "peer, Mpps", "ratio", "from", "to", "our CPU", "peer's CPU"}}
	latency := rows{id: "peer-latency", title: "Latency beside peers", xName: "times the peer's latency, logarithmic", log: true, one: 1}
	g := figure{Title: latency.title, Head: []string{"comparison", "ours, µs", "peer, µs", "ratio", "from", "to", "Mpps", "ours lost", "peer lost"}}
	for _, r := range newest {
		label := opponents(r.Comparison)
		for _, l := range r.Latency {
			at := fmt.Sprintf("%s %.0f %% %s", label, 100*l.Load, percentName(l.Percent))
			i := latency.ratio(at, l.Ratio)
			g.Rows = append(g.Rows, []string{at, value(l.Ours / 1e3), value(l.Theirs / 1e3), value(i.Median), value(i.Low), value(i.High), value(l.PPS / 1e6), fmt.Sprint(l.OursLost), fmt.Sprint(l.TheirsLost)})
		}
		if len(r.Comparison.Loads) > 0 {
			continue // the rates are given
		}
		i := rates.ratio(label, r.Ratio)
		f.Rows = append(f.Rows, []string{label, value(r.Ours.PPS / 1e6), value(r.Theirs.PPS / 1e6), value(i.Median), value(i.Low), value(i.High), value(r.Ours.CPU), value(r.Theirs.CPU)})
	}
	rates.desc = fmt.Sprintf("%d comparisons, each with a dot at the ratio and a bar for its interval.", len(rates.data))
	latency.desc = fmt.Sprintf("%d percentiles, each with a dot at the ratio and a bar for its interval.", len(latency.data))
	if len(rates.data) > 0 {
		f.Charts = draw(rates)
		s.Figures = append(s.Figures, f)
	}
	if len(latency.data) > 0 {
		g.Charts = draw(latency)
		s.Figures = append(s.Figures, g)
	}
	return s
}

// ratio adds a row, and returns what it shows.
func (c *rows) ratio(label string, i bench.Interval) bench.Interval {
	if i.Confidence == 0 || i.Low <= 0 || i.High < i.Low {
		i.Low, i.High = i.Median, i.Median // no interval
	}
	c.names = append(c.names, label)
	c.data = append(c.data, datum{value: i.Median, lo: i.Low, hi: i.High, title: fmt.Sprintf("%s: %s (%s to %s)", label, value(i.Median), value(i.Low), value(i.High))})
	return i
}

// opponents is a comparison's name for people, as in testpmd null io 64 B.
func opponents(c bench.Comparison) string {
	label := fmt.Sprintf("%s %s %s ", c.Peer.Name, c.Driver, c.Mode)
	if c.Driver == bench.DriverQueue {
		label += fmt.Sprintf("bulk %d", c.Size)
	} else {
		label += sizeName(c.Size) + " B"
	}
	if c.Cores > 1 {
		label += fmt.Sprintf(" %d cores", c.Cores)
	}
	return label
}

// verdicts shows what the gate said, for each two revisions: the newest of each scenario.
func verdicts(outcomes []*gate.Outcome) section {
	s := section{ID: "gate", Title: "Gate", Text: "The time that a packet takes with the change to that without it: right of 1 the change is slower. The bar is the interval of the ratio. A scenario is slower if all of the interval is beyond the tolerance."}
	type revisions struct{ base, head string }
	var order []revisions
	of := map[revisions]map[string]*gate.Outcome{}
	for _, o := range outcomes {
		key := revisions{o.Base.Commit, o.Head.Commit}
		if of[key] == nil {
			of[key] = map[string]*gate.Outcome{}
			order = append(order, key)
		}
		if old := of[key][o.Scenario]; old == nil || !o.Time.Before(old.Time) {
			of[key][o.Scenario] = o
		}
	}
	for i, key := range order {
		c := rows{id: fmt.Sprintf("gate-%d", i), title: fmt.Sprintf("%s against %s", key.head, key.base), xName: "times the time a packet took before", one: 1, log: true}
		f := figure{Title: c.title, Head: []string{"scenario", "verdict", "before, ns/pkt", "after, ns/pkt", "ratio", "from", "to", "tolerance", "pairs", "void"}}
		for _, name := range slices.Sorted(maps.Keys(of[key])) {
			o := of[key][name]
			label := name
			if sc, err := bench.ParseScenario(name); err == nil {
				label = spelled(sc)
			}
			row := []string{label, string(o.Verdict), "", "", "", "", "", value(100*o.Tolerance) + " %", fmt.Sprint(o.Pairs), fmt.Sprint(o.Void)}
			if o.Ratio.Median > 0 {
				i := c.ratio(label, bench.Interval{Median: o.Ratio.Median, Low: o.Ratio.Lo, High: o.Ratio.Hi, Confidence: o.Ratio.Confidence})
				copy(row[2:], []string{value(o.BaseNs), value(o.HeadNs), value(i.Median), value(i.Low), value(i.High)})
			}
			f.Rows = append(f.Rows, row)
		}
		c.desc = fmt.Sprintf("%d scenarios, each with a dot at the ratio and a bar for its interval.", len(c.data))
		if len(c.data) > 0 {
			f.Charts = draw(c)
		}
		s.Figures = append(s.Figures, f)
	}
	return s
}

// history shows the scenarios that were measured more than once.
func history(all, latest []*bench.Result) section {
	s := section{ID: "history", Title: "History", Text: "Every result in the order of time, by revision. Results of different machines do not compare."}
	for i, now := range latest {
		c := lines{id: fmt.Sprintf("history-%d", i), title: "History, " + spelled(now.Scenario), xName: "revision, oldest first", yName: "million packets a second"}
		f := figure{Title: c.title, Head: []string{"revision", "time", "Mpps", "lowest", "highest", "CPU"}}
		line := series{name: spelled(now.Scenario)}
		for _, r := range all {
			if r.Name != now.Name {
				continue
			}
			rev := short(r.Environment.Revision)
			if rev == "" {
				rev = r.Time.UTC().Format("01-02 15:04")
			}
			lo, hi := spread(r)
			line.data = append(line.data, datum{x: float64(len(line.data)), value: r.PPS / 1e6, lo: lo, hi: hi, title: fmt.Sprintf("%s: %s Mpps", rev, value(r.PPS/1e6))})
			c.categories = append(c.categories, rev)
			f.Rows = append(f.Rows, []string{rev, r.Time.UTC().Format("2006-01-02 15:04"), value(r.PPS / 1e6), value(lo), value(hi), r.Environment.CPU})
		}
		if len(line.data) < 2 {
			continue
		}
		c.series = []series{line}
		c.desc = fmt.Sprintf("%d results, from %s to %s.", len(line.data), c.categories[0], c.categories[len(c.categories)-1])
		f.Charts = draw(c)
		s.Figures = append(s.Figures, f)
	}
	return s
}
