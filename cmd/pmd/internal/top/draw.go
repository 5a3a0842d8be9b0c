package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
)

// Ways of writing (ECMA-48, SGR).
const (
	plain   = "\x1b[m"
	bold    = "\x1b[1m"
	faint   = "\x1b[2m"
	red     = "\x1b[31m"
	reverse = "\x1b[7m"
)

// help is the line at the bottom.
const help = "q quit  s sort  c clear  u queues  p pause  ↑↓ scroll"

// screen draws everything, as many lines as there are.
func (m *Model) screen() []string {
	if m.width < 20 || m.height < 4 {
		return []string{cut("too small", m.width)}
	}
	body := m.body()
	m.lines = len(body)
	room := m.height - 3 // title, empty line, help
	m.scroll = max(0, min(m.scroll, len(body)-room))
	body = body[m.scroll:]
	more := 0
	if len(body) > room {
		more, body = len(body)-room, body[:room]
	}
	out := []string{m.title(), ""}
	out = append(out, body...)
	for len(out) < m.height-1 {
		out = append(out, "")
	}
	return append(out, m.foot(more))
}

// title is the first line.
func (m *Model) title() string {
	if m.shown == nil {
		return style(bold, cut("pmd", m.width))
	}
	s := m.shown
	text := fmt.Sprintf("pmd  up %s  mode %s  rates over %s  ports by %s", show.Seconds(s.Uptime), s.Forward, show.Seconds(s.RateSeconds), m.order)
	if s.ClearedAt != nil {
		text += "  totals of " + show.Seconds(s.Time.Sub(*s.ClearedAt).Seconds())
	}
	if m.paused {
		text += "  PAUSED"
	}
	return style(bold, cut(text, m.width))
}

// foot is the last line: an error, what a key did, or which keys there are.
func (m *Model) foot(more int) string {
	text, how := help, faint
	switch {
	case m.err != nil:
		text, how = oneLine(m.err), red
	case m.note != "":
		text, how = m.note, plain
	}
	if more > 0 {
		text = fmt.Sprintf("%d more below  %s", more, text)
	}
	return style(how, cut(text, m.width))
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// body is everything between title and foot.
func (m *Model) body() (lines []string) {
	if m.shown == nil {
		return nil
	}
	s := m.shown
	sections := []section{m.portSection(s), coreSection(s), pollSection(s), counterSection(s)}
	if m.queues {
		sections = append(sections, queueSection(s), poolSection(s))
	}
	for _, sec := range sections {
		if len(sec.rows) == 0 {
			continue
		}
		if len(lines) > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, sec.draw(m.width)...)
	}
	if s.AccountError != "" {
		lines = append(lines, "", cut("no fresh account of the frames: "+s.AccountError, m.width))
	}
	return lines
}

// section is a table whose columns may be left out.
type section struct {
	titles []string // as show.NewTable takes them
	// less are the columns that may be left out, those together that say little
	// alone, the least important last.
	less [][]int
	rows []row
}

type row struct {
	cells []string
	alarm bool
}

func (s *section) row(alarm bool, cells ...string) { s.rows = append(s.rows, row{cells, alarm}) }

// draw writes the section as wide as it may be.
func (s *section) draw(width int) []string {
	left := map[int]bool{}
	lines := s.lines(left)
	for i := len(s.less) - 1; i >= 0 && widest(lines) > width; i-- {
		for _, c := range s.less[i] {
			left[c] = true
		}
		lines = s.lines(left)
	}
	for i, l := range lines {
		l = cut(l, width)
		switch {
		case i == 0:
			l = style(reverse, l+strings.Repeat(" ", max(0, width-utf8.RuneCountInString(l))))
		case s.rows[i-1].alarm:
			l = style(red, l)
		}
		lines[i] = l
	}
	return lines
}

// lines writes the columns that are not left out.
func (s *section) lines(left map[int]bool) []string {
	pick := func(cells []string) (out []string) {
		for i, c := range cells {
			if !left[i] {
				out = append(out, c)
			}
		}
		return out
	}
	t := show.NewTable(pick(s.titles)...)
	for _, r := range s.rows {
		t.Row(pick(r.cells)...)
	}
	var b strings.Builder
	_ = t.Write(&b, "") // a Builder takes everything
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func widest(lines []string) int {
	w := 0
	for _, l := range lines {
		w = max(w, utf8.RuneCountInString(l))
	}
	return w
}

// cut shortens a line to a width.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}

func style(how, s string) string {
	if s == "" || how == plain {
		return s
	}
	return how + s + plain
}

func (m *Model) portSection(s *engine.Stats) section {
	sec := section{
		titles: []string{"PORT", "STATE", "RX→", "TX→", "RX RATE→", "TX RATE→", "DROPPING→", "DROPS→", "MISSED→", "RX PACKETS→", "TX PACKETS→"},
		less:   [][]int{{7}, {4, 5}, {8}, {9, 10}},
	}
	ports := make([]*engine.Port, 0, len(s.Ports))
	for i := range s.Ports {
		if !s.Ports[i].Removed {
			ports = append(ports, &s.Ports[i])
		}
	}
	key := func(p *engine.Port) float64 {
		switch m.order {
		case byRx:
			return p.RxPPS
		case byTx:
			return p.TxPPS
		case byDrops:
			return p.DropPPS
		}
		return 0
	}
	slices.SortStableFunc(ports, func(a, b *engine.Port) int { return cmp.Compare(key(b), key(a)) })
	for _, p := range ports {
		state := "up"
		if !p.Up {
			state = "down"
		}
		sec.row(!p.Up, p.Name, state, show.PPS(p.RxPPS), show.PPS(p.TxPPS), show.BPS(p.RxBPS), show.BPS(p.TxBPS),
			show.PPS(p.DropPPS), show.Count(p.Dropped()), show.Count(p.Lost()), show.Count(p.RxPackets), show.Count(p.TxPackets))
	}
	return sec
}

// barWidth is the length of a bar, in characters.
const barWidth = 12

// bar draws a share from 0 to 1.
func bar(x float64) string {
	n := min(barWidth, max(0, int(x*barWidth+0.5)))
	return strings.Repeat("█", n) + strings.Repeat("░", barWidth-n)
}

func coreSection(s *engine.Stats) section {
	sec := section{
		titles: []string{"CPU", "STATE", "BUSY", "→", "RX→", "TX→", "TURNS/S→", "LONGEST TURN→", "COPIES→"},
		less:   [][]int{{2}, {7}, {6}, {8}},
	}
	for _, c := range s.Cores {
		sec.row(c.State == "failed", show.CPU(c.CPU), c.State, bar(c.BusyNow), show.Share(c.BusyNow),
			show.PPS(c.RxPPS), show.PPS(c.TxPPS), show.Count(uint64(c.TurnsPS)), show.Nanoseconds(c.MaxTurnNs), show.Count(c.Copies))
	}
	return sec
}

// pollSection tells how each core polls and what a packet costs it.
func pollSection(s *engine.Stats) section {
	sec := section{
		titles: []string{"CPU", "IDLE POLICY", "ASLEEP→", "QUEUES→", "BURST→", "LOST POLLS→", "CYCLES/PKT→", "RECEIVE→", "STAGE→", "TRANSMIT→", "IDLE→"},
		less:   [][]int{{7, 8, 9, 10}, {4}, {3}, {5}},
	}
	for _, c := range s.Cores {
		policy := string(c.Poll.Idle)
		if c.Poll.Enable == 0 {
			policy = "disabled"
		}
		rx, stage, tx, idle, all := c.CyclesNow.PerPacket()
		sec.row(c.State == "failed", show.CPU(c.CPU), policy, show.Share(c.SleepNow), strconv.Itoa(c.Poll.Handlers), strconv.Itoa(c.Poll.Burst),
			show.Count(c.Poll.LostPolls), show.Cycles(all), show.Cycles(rx), show.Cycles(stage), show.Cycles(tx), show.Cycles(idle))
	}
	return sec
}

// counterSection has what is not received and sent: drops, losses in front of the
// port, frames that the mode made, and what it counts besides.
func counterSection(s *engine.Stats) section {
	sec := section{titles: []string{"PORT", "COUNTER", "COUNT→"}}
	for i := range s.Ports {
		p := &s.Ports[i]
		for _, reason := range slices.Sorted(maps.Keys(p.Drops)) {
			sec.row(false, show.PortName(p), "drop: "+reason, show.Count(p.Drops[reason]))
		}
		for _, name := range slices.Sorted(maps.Keys(p.Missed)) {
			sec.row(false, show.PortName(p), "device: "+name, show.Count(p.Missed[name]))
		}
		if p.Generated > 0 {
			sec.row(false, show.PortName(p), "generated", show.Count(p.Generated))
		}
		for _, name := range slices.Sorted(maps.Keys(p.Counters)) {
			sec.row(false, show.PortName(p), "mode: "+name, show.Count(p.Counters[name]))
		}
	}
	return sec
}

func queueSection(s *engine.Stats) section {
	sec := section{
		titles: []string{"QUEUE", "CPU→", "RX→", "TX→", "RX RATE→", "TX RATE→", "IN FLIGHT→", "WAKEUPS→", "RX PACKETS→", "TX PACKETS→"},
		less:   [][]int{{7}, {4, 5}, {6}, {8, 9}},
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Removed {
			continue
		}
		for _, q := range p.Queues {
			sec.row(false, p.Name+"/"+strconv.Itoa(q.Index), show.CPU(q.CPU), show.PPS(q.RxPPS), show.PPS(q.TxPPS), show.BPS(q.RxBPS), show.BPS(q.TxBPS),
				show.Count(q.InFlight), show.Count(q.Wakeups), show.Count(q.RxPackets), show.Count(q.TxPackets))
		}
	}
	return sec
}

func poolSection(s *engine.Stats) section {
	sec := section{titles: []string{"POOL", "FRAMES→", "ACCOUNTED→", "WITH"}}
	for _, p := range s.Pools {
		var who []string
		for _, k := range slices.Sorted(maps.Keys(p.Owners)) {
			who = append(who, k+" "+show.Count(uint64(p.Owners[k])))
		}
		sec.row(!p.Balanced(), p.Pool, show.Count(uint64(p.Frames)), show.Count(uint64(p.Accounted)), strings.Join(who, ", "))
	}
	return sec
}
