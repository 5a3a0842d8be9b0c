package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"example.org/pmd/cmd/pmd/internal/engine"
)

// Source is asked for statistics; *ctl.Client is one.
type Source interface {
	// Stats returns the statistics.
	Stats(ctx context.Context) (*engine.Stats, error)
	// Clear returns them and sets totals to zero.
	Clear(ctx context.Context) (*engine.Stats, error)
}

// framesPS bounds how often the screen is drawn: keys are to be seen at once, and
// numbers do not come faster.
const framesPS = 20

// Run shows the statistics until a key or ctx ends it.
func Run(ctx context.Context, source Source, interval time.Duration, out io.Writer) error {
	p := tea.NewProgram(New(ctx, source, interval), tea.WithContext(ctx), tea.WithOutput(out),
		tea.WithoutSignalHandler(), tea.WithFPS(framesPS))
	if _, err := p.Run(); err != nil && !errors.Is(err, tea.ErrProgramKilled) {
		return fmt.Errorf("live table: %w: show it once with -n 1", err)
	}
	return nil
}

// order is what ports are sorted by.
type order int

const (
	byNumber order = iota
	byRx
	byTx
	byDrops
	orders
)

// String returns the order's name as the screen shows it.
func (o order) String() string { return [...]string{"number", "rx", "tx", "drops"}[o] }

// Model is the state of the screen; make one with New.
type Model struct {
	ctx      context.Context
	source   Source
	interval time.Duration

	width, height int
	// last is the newest reading, shown that with the rates since the one before.
	last, shown *engine.Stats
	err         error
	note        string // what the last key did
	order       order
	paused      bool
	queues      bool // show queues and pools
	scroll      int
	lines       int // of the last drawing, below the title
}

// New returns the model of a screen that is refreshed at this interval.
func New(ctx context.Context, source Source, interval time.Duration) *Model {
	return &Model{ctx: ctx, source: source, interval: interval, width: 80, height: 24}
}

// reading is what came of asking.
type reading struct {
	stats   *engine.Stats
	err     error
	cleared bool
}

// due says that it is time to ask again.
type due struct{}

// ask asks now.
func (m *Model) ask() tea.Msg {
	s, err := m.source.Stats(m.ctx)
	return reading{s, err, false}
}

// clear sets totals to zero.
func (m *Model) clear() tea.Msg {
	s, err := m.source.Clear(m.ctx)
	return reading{s, err, true}
}

// later asks after the interval.
func (m *Model) later() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return due{} })
}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return m.ask }

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	case due:
		return m, m.ask
	case reading:
		m.take(msg)
		if !msg.cleared {
			return m, m.later()
		}
	}
	return m, nil
}

// take takes over a reading.
func (m *Model) take(r reading) {
	m.err = r.err
	if r.err != nil {
		m.last = nil // rates across a restart would be wrong
		return
	}
	if r.cleared {
		m.note = "totals count from now"
		m.last = nil
		return
	}
	// The process may be another one than before.
	if m.last != nil && r.stats.Uptime >= m.last.Uptime && r.stats.Time.After(m.last.Time) {
		r.stats, m.last = r.stats.Since(m.last), r.stats
	} else {
		m.last = r.stats
	}
	if !m.paused {
		m.shown = r.stats
	}
}

// key obeys a key.
func (m *Model) key(k string) tea.Cmd {
	m.note = ""
	page := max(1, m.height-4)
	switch k {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "s":
		m.order = (m.order + 1) % orders
		m.note = "ports by " + m.order.String()
	case "c":
		return m.clear
	case "u":
		m.queues = !m.queues
		m.scroll = 0
	case "p", "space":
		m.paused = !m.paused
	case "up", "k":
		m.scroll--
	case "down", "j":
		m.scroll++
	case "pgup":
		m.scroll -= page
	case "pgdown":
		m.scroll += page
	case "home", "g":
		m.scroll = 0
	}
	m.scroll = max(0, min(m.scroll, m.lines-page))
	return nil
}

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	return v
}
