package show

import (
	"fmt"
	"io"
	"strconv"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/dataplane"
)

// core names a core as commands take it.
func core(c engine.CorePolling) string {
	if c.CPU == dataplane.Unpinned {
		return fmt.Sprintf("w%d", c.Worker)
	}
	return strconv.Itoa(c.CPU)
}

// Cores writes how cores poll: what can be set, what the scheduling model has come to,
// and what a packet costs.
func Cores(w io.Writer, list []engine.CorePolling) error {
	e := &errWriter{w: w}
	t := NewTable("CPU→", "STATE", "IDLE", "ENABLE→", "POLLHZ→", "EACH_BURST→", "BURST_MAX→", "USER_FRAC→", "REG_FRAC→", "HANDLERS→")
	for _, c := range list {
		t.Row(core(c), c.State, string(c.Idle), strconv.Itoa(c.Enable), strconv.Itoa(c.PollHz), strconv.Itoa(c.EachBurst),
			strconv.Itoa(c.BurstMax), strconv.Itoa(c.UserFrac), strconv.Itoa(c.RegFrac), strconv.Itoa(c.Handlers))
	}
	_ = t.Write(e, "")
	t = NewTable("CPU→", "BURST→", "RESIDUAL→", "PHASE→", "PENDING→", "SHORT TICKS→", "LOST POLLS→", "STALLED→", "SUSPECT→", "SLEEPS→", "SLEPT→")
	for _, c := range list {
		t.Row(core(c), strconv.Itoa(c.Burst), strconv.Itoa(c.ResidualBurst), strconv.Itoa(c.Phase), strconv.Itoa(c.PendingPolls),
			Count(c.ShortTicks), Count(c.LostPolls), Count(c.Stalled), Count(c.Suspect), Count(c.Sleeps), Seconds(float64(c.SleepNs)/1e9))
	}
	section(e, t)
	t = NewTable("CYCLES A PACKET, CPU→", "RECEIVE→", "STAGE→", "TRANSMIT→", "IDLE→", "ALL→", "OF PACKETS→")
	for _, c := range list {
		rx, stage, tx, idle, all := c.Cycles.PerPacket()
		t.Row(core(c), Cycles(rx), Cycles(stage), Cycles(tx), Cycles(idle), Cycles(all), Count(c.Cycles.Packets))
	}
	section(e, t)
	return e.err
}

// Cycles writes a number of cycles a packet, nothing if there was no packet.
func Cycles(n float64) string {
	switch {
	case n == 0:
		return ""
	case n < 100:
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return Count(uint64(n + 0.5))
}
