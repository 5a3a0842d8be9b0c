package top

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

var update = flag.Bool("update", false, "write the golden files anew")

// at is a picture of a process at second s.
func at(s float64) *engine.Stats {
	n := uint64(s * 1e6)
	port := func(id int, name string, share uint64) engine.Port {
		return engine.Port{
			PortStats: dataplane.PortStats{
				ID: dataplane.PortID(id), Name: name, Up: id != 2, RxPackets: n / share, RxBytes: 60 * n / share, TxPackets: n / share, TxBytes: 60 * n / share,
				Drops: map[string]uint64{}, Missed: map[string]uint64{},
			},
			Queues: []engine.Queue{{QueueStats: dataplane.QueueStats{CPU: 2, RxPackets: n / share, RxBytes: 60 * n / share, TxPackets: n / share, Wakeups: n / 64}}},
		}
	}
	st := &engine.Stats{
		Time: time.Unix(1000, 0).Add(time.Duration(s * 1e9)), Uptime: s, Forward: "macswap", RateSeconds: s,
		Ports: []engine.Port{port(0, "eth1", 2), port(1, "eth2", 1), port(2, "enp134s0f1np1", 4), port(3, "was", 1)},
		Cores: []engine.Core{
			{CoreStats: dataplane.CoreStats{CPU: 2, State: "running", Turns: n / 32, BusyNs: n * 420, TotalNs: uint64(s * 1e9), MaxTurnNs: 250_000, SleepNs: n * 80,
				Cycles: dataplane.Cycles{Turns: n / 4096, Packets: n / 128, Receive: n / 5, Stage: n / 40, Transmit: n / 4, Idle: n / 8, Control: n / 500},
				Poll:   dataplane.PollState{PollConfig: dataplane.PollConfig{Enable: 1, Idle: dataplane.IdleAdaptive}, Burst: 256, Handlers: 3, LostPolls: 17}}},
			{CoreStats: dataplane.CoreStats{Worker: 1, CPU: 3, State: "failed", Poll: dataplane.PollState{PollConfig: dataplane.PollConfig{Enable: 1, Idle: dataplane.IdleSpin}}}},
		},
		Pools: []dataplane.PoolStats{{Account: mbuf.Account{Pool: "pool0", Frames: 16384, Accounted: 16384}, Owners: map[string]int{"pool": 16000, "kernel_rx": 384}}},
	}
	st.Ports[1].Drops["tx_full"] = n / 10
	st.Ports[0].Missed["rx_ring_full"] = 42
	st.Ports[0].Missed["tx_ring_empty_descs"] = n // no loss
	st.Ports[0].Generated = 2 * n
	st.Ports[1].Counters = map[string]uint64{"bad_l4_csum": 5}
	st.Ports[3].Removed = true
	return st
}

// fake is a process.
type fake struct {
	now     float64
	err     error
	cleared int
}

func (f *fake) Stats(context.Context) (*engine.Stats, error) { return at(f.now), f.err }

func (f *fake) Clear(context.Context) (*engine.Stats, error) {
	f.cleared++
	return at(f.now), f.err
}

// pass lets a message arrive, and then what the commands it starts bring, but for
// waits.
func pass(m *Model, msg tea.Msg) {
	if _, cmd := m.Update(msg); cmd != nil {
		if _, key := msg.(tea.KeyPressMsg); key {
			pass(m, cmd())
		}
	}
}

func press(m *Model, key string) {
	k := tea.Key{Text: key, Code: []rune(key)[0]}
	switch key {
	case "down":
		k = tea.Key{Code: tea.KeyDown}
	case "pgdown":
		k = tea.Key{Code: tea.KeyPgDown}
	}
	pass(m, tea.KeyPressMsg(k))
}

// after returns a model that has read twice.
func after(f *fake) *Model {
	m := New(context.Background(), f, time.Second)
	for _, f.now = range []float64{10, 12} {
		pass(m, m.Init()())
	}
	return m
}

var sgr = regexp.MustCompile(`\x1b\[[0-9;]*m`)

func text(m *Model) string { return sgr.ReplaceAllString(m.View().Content, "") }

func TestScreens(t *testing.T) {
	for name, c := range map[string]struct {
		width, height int
		keys          string
	}{
		"80x24": {80, 24, ""}, "80x24-queues-by-rx": {80, 24, "su"}, "140x40": {140, 40, "u"}, "40x10": {40, 10, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := after(&fake{})
			pass(m, tea.WindowSizeMsg{Width: c.width, Height: c.height})
			for _, k := range c.keys {
				press(m, string(k))
			}
			m.note = ""
			// Titles are as wide as the screen; files need not be.
			got := regexp.MustCompile(`(?m) +$`).ReplaceAllString(text(m), "")
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err, "run the test with -update to make it")
			assert.Equal(t, string(want), got, "run the test with -update if this is right")
		})
	}
}

func TestKeys(t *testing.T) {
	f := &fake{}
	m := after(f)
	first := func() string { return strings.Fields(strings.Split(text(m), "\n")[3])[0] }
	for _, want := range []string{"eth1", "eth2", "eth2", "eth2", "eth1"} { // number, rx, tx, drops, number
		assert.Equal(t, want, first(), m.order)
		press(m, "s")
	}
	press(m, "c")
	assert.Equal(t, 1, f.cleared)
	assert.Contains(t, text(m), "totals count from now")

	f.now = 13
	pass(m, m.ask())
	press(m, "p")
	before := strings.Split(text(m), "\n")[0]
	assert.Contains(t, before, "PAUSED")
	f.now = 20
	pass(m, m.ask())
	assert.Equal(t, before, strings.Split(text(m), "\n")[0])

	pass(m, tea.WindowSizeMsg{Width: 80, Height: 8})
	assert.Contains(t, text(m), "more below")
	for range 30 {
		press(m, "down")
	}
	assert.NotContains(t, text(m), "more below")
	assert.Contains(t, text(m), "tx_full", "the end is reached")
	press(m, "g")
	assert.Contains(t, text(m), "RX")
	_, cmd := m.Update(tea.KeyPressMsg(tea.Key{Text: "q", Code: 'q'}))
	require.NotNil(t, cmd)
	assert.IsType(t, tea.QuitMsg{}, cmd())
}

// TestRates: rates are those between two readings, and none are made up across a
// clearing or a restart of the process.
func TestRates(t *testing.T) {
	f := &fake{}
	m := after(f)
	assert.InDelta(t, 1e6, m.shown.Ports[1].RxPPS, 1)
	assert.InDelta(t, 2, m.shown.RateSeconds, 1e-9)
	f.err = errors.New("no pmd answers\non s")
	pass(m, m.ask())
	assert.Contains(t, text(m), "no pmd answers; on s")
	assert.Contains(t, text(m), "eth1", "the last there was stays to be read")
	f.err, f.now = nil, 1 // another process
	pass(m, m.ask())
	assert.NotContains(t, text(m), "no pmd answers")
	f.now = 0.5
	pass(m, m.ask())
	assert.InDelta(t, 0.5, m.shown.RateSeconds, 1e-9, "its own rates, since there is nothing to compare with")
}

func TestNothingReadYet(t *testing.T) {
	m := New(context.Background(), &fake{err: errors.New("down")}, time.Second)
	assert.Contains(t, text(m), "pmd")
	pass(m, m.ask())
	assert.Contains(t, text(m), "down")
}

// TestScreenProperties: whatever the size, the screen fits, and it is drawn.
func TestScreenProperties(t *testing.T) {
	m := after(&fake{})
	press(m, "u")
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 300).Draw(t, "width"), rapid.IntRange(1, 100).Draw(t, "height")
		pass(m, tea.WindowSizeMsg{Width: w, Height: h})
		for range rapid.IntRange(0, 3).Draw(t, "keys") {
			press(m, rapid.SampledFrom([]string{"s", "u", "p", "down", "pgdown", "k", "g"}).Draw(t, "key"))
		}
		lines := strings.Split(text(m), "\n")
		assert.LessOrEqual(t, len(lines), h)
		for _, l := range lines {
			assert.LessOrEqual(t, utf8.RuneCountInString(l), w, l)
		}
	})
}

// until calls then once a text has been written.
type until struct {
	bytes.Buffer
	text string
	then func()
}

func (u *until) Write(b []byte) (int, error) {
	n, err := u.Buffer.Write(b)
	if strings.Contains(u.String(), u.text) {
		u.then()
	}
	return n, err
}

// TestRun runs the program on something that is no terminal, as long as it is let.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	m := New(ctx, &fake{now: 5}, 10*time.Millisecond)
	out := until{text: "macswap", then: cancel}
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithOutput(&out), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithWindowSize(80, 24))
	_, err := p.Run()
	assert.ErrorIs(t, err, tea.ErrProgramKilled)
	assert.Contains(t, out.String(), "macswap")
}

func ExampleModel() {
	m := New(context.Background(), &fake{now: 3}, time.Second)
	m.Update(m.Init()())
	m.Update(tea.WindowSizeMsg{Width: 60, Height: 8})
	fmt.Println(strings.Split(sgr.ReplaceAllString(m.View().Content, ""), "\n")[0])
	// Output:
	// pmd  up 3s  mode macswap  rates over 3s  ports by number
}
