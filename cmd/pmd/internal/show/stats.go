package show

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/dataplane"
)

// errWriter remembers the first error, so that a table after a table needs no
// check in between.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}

// section writes a table after an empty line, unless it has no row.
func section(w io.Writer, t *Table) {
	if t.Rows() > 0 {
		fmt.Fprintln(w)
		_ = t.Write(w, "") // an errWriter keeps the error
	}
}

// CPU returns a CPU's number, "any" for a worker that is not pinned.
func CPU(id int) string {
	if id == dataplane.Unpinned {
		return "any"
	}
	return strconv.Itoa(id)
}

// state says in a word whether a port can carry traffic.
func state(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// PortName tells a port from one of the same name that was removed.
func PortName(p *engine.Port) string {
	if p.Removed {
		return p.Name + " (removed)"
	}
	return p.Name
}

// Stats writes everything there is to know about a running engine: ports, their
// queues, drops by reason, cores, pools.
func Stats(w io.Writer, s *engine.Stats) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "up %s, mode %s, rates over %s", Seconds(s.Uptime), s.Forward, Seconds(s.RateSeconds))
	if s.ClearedAt != nil {
		fmt.Fprintf(e, ", totals of the last %s", Seconds(s.Time.Sub(*s.ClearedAt).Seconds()))
	}
	fmt.Fprintln(e)

	section(e, portTable(s))
	section(e, queueTable(s))
	section(e, stampTable(s))
	section(e, dropTable(s))
	section(e, coreTable(s))
	section(e, poolTable(s))
	if s.AccountError != "" {
		fmt.Fprintf(e, "\nno fresh account of the frames: %s\n", s.AccountError)
	}
	return e.err
}

func portTable(s *engine.Stats) *Table {
	t := NewTable("PORT", "DRIVER", "MODE", "STATE", "RX PACKETS→", "RX BYTES→", "RX→", "TX PACKETS→", "TX BYTES→", "TX→", "DROPS→", "DROPPING→")
	for i := range s.Ports {
		p := &s.Ports[i]
		t.Row(PortName(p), p.Driver, p.Mode, state(p.Up),
			Count(p.RxPackets), Bytes(p.RxBytes), PPS(p.RxPPS),
			Count(p.TxPackets), Bytes(p.TxBytes), PPS(p.TxPPS), Count(p.Dropped()), PPS(p.DropPPS))
	}
	return t
}

func queueTable(s *engine.Stats) *Table {
	t := NewTable("QUEUE", "CPU→", "RX PACKETS→", "RX→", "RX RATE→", "TX PACKETS→", "TX→", "TX RATE→", "IN FLIGHT→", "WAKEUPS→")
	for i := range s.Ports {
		if s.Ports[i].Removed {
			continue // its line has the totals
		}
		for _, q := range s.Ports[i].Queues {
			t.Row(s.Ports[i].Name+"/"+strconv.Itoa(q.Index), CPU(q.CPU),
				Count(q.RxPackets), PPS(q.RxPPS), BPS(q.RxBPS),
				Count(q.TxPackets), PPS(q.TxPPS), BPS(q.TxBPS), Count(q.InFlight), Count(q.Wakeups))
		}
	}
	return t
}

// stampTable has a row for each queue that was to tell when packets left.
func stampTable(s *engine.Stats) *Table {
	t := NewTable("QUEUE", "TX STAMPS→", "OF→", "LAST→", "SHORTEST→", "MEAN→", "LONGEST→")
	for i := range s.Ports {
		for _, q := range s.Ports[i].Queues {
			x := q.TxStamps
			if x == nil {
				continue
			}
			delays := [3]string{"-", "-", "-"}
			if x.MaxNs > 0 {
				delays = [3]string{Nanoseconds(x.MinNs), Nanoseconds(x.MeanNs), Nanoseconds(x.MaxNs)}
			}
			t.Row(s.Ports[i].Name+"/"+strconv.Itoa(q.Index), Count(x.Stamped), Count(x.Asked),
				fmt.Sprintf("%d.%09d", x.LastNs/1e9, x.LastNs%1e9), delays[0], delays[1], delays[2])
		}
	}
	return t
}

// dropTable has a row for each reason that happened, and each counter of a mode or
// a device that has come up. docs/drops.md explains them; not all are losses.
func dropTable(s *engine.Stats) *Table {
	t := NewTable("PORT", "COUNTER", "COUNT→")
	for i := range s.Ports {
		p := &s.Ports[i]
		for _, reason := range slices.Sorted(maps.Keys(p.Drops)) {
			t.Row(PortName(p), "drop: "+reason, Count(p.Drops[reason]))
		}
		if p.Generated > 0 {
			t.Row(PortName(p), "mode: generated", Count(p.Generated))
		}
		for _, name := range slices.Sorted(maps.Keys(p.Counters)) {
			t.Row(PortName(p), "mode: "+name, Count(p.Counters[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(p.Missed)) {
			t.Row(PortName(p), "device: "+name, Count(p.Missed[name]))
		}
	}
	return t
}

func coreTable(s *engine.Stats) *Table {
	t := NewTable("CPU→", "STATE", "RX→", "TX→", "TURNS→", "EMPTY→", "TURNS/S→", "BUSY→", "BUSY NOW→", "LONGEST TURN→", "COPIES→")
	for _, c := range s.Cores {
		t.Row(CPU(c.CPU), c.State, PPS(c.RxPPS), PPS(c.TxPPS), Count(c.Turns), Count(c.EmptyTurns), Count(uint64(c.TurnsPS)),
			Share(c.Busy), Share(c.BusyNow), Nanoseconds(c.MaxTurnNs), Count(c.Copies))
	}
	return t
}

func poolTable(s *engine.Stats) *Table {
	t := NewTable("POOL", "FRAMES→", "SIZE→", "PAGES", "ACCOUNTED→", "TWICE→", "WITH")
	for _, p := range s.Pools {
		t.Row(p.Pool, Count(uint64(p.Frames)), Bytes(uint64(p.FrameSize)), p.Pages,
			Count(uint64(p.Accounted)), Count(uint64(p.Duplicate)), owners(p.Owners))
	}
	return t
}

// owners lists who has how many frames.
func owners(m map[string]int) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+" "+Count(uint64(m[k])))
	}
	return strings.Join(parts, ", ")
}

// Summary writes what a run came to: totals by port, drops by reason, and whether
// every frame was found.
func Summary(w io.Writer, s *engine.Stats) error {
	e := &errWriter{w: w}
	fmt.Fprintf(e, "ran %s, mode %s\n\n", Seconds(s.Uptime), s.Forward)
	t := NewTable("PORT", "DRIVER", "MODE", "RX PACKETS→", "RX BYTES→", "MEAN→", "TX PACKETS→", "TX BYTES→", "MEAN→", "DROPS→", "IN HAND→")
	for i := range s.Ports {
		p := &s.Ports[i]
		t.Row(PortName(p), p.Driver, p.Mode, Count(p.RxPackets), Bytes(p.RxBytes), PPS(p.RxPPS),
			Count(p.TxPackets), Bytes(p.TxBytes), PPS(p.TxPPS), Count(p.Dropped()), Count(p.InHand))
	}
	_ = t.Write(e, "")
	section(e, dropTable(s))
	fmt.Fprintln(e)
	for _, p := range s.Pools {
		if p.Balanced() {
			fmt.Fprintf(e, "%s: all %s frames accounted for\n", p.Pool, Count(uint64(p.Frames)))
			continue
		}
		fmt.Fprintf(e, "%s: %s of %s frames accounted for, %s found twice: this is a defect of pmd or of a driver\n",
			p.Pool, Count(uint64(p.Accounted)), Count(uint64(p.Frames)), Count(uint64(p.Duplicate)))
	}
	return e.err
}
