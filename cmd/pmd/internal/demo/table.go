package demo

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"example.org/pmd/cmd/pmd/internal/show"
)

// printer writes the report for a person, piece by piece as it comes to be known.
type printer struct {
	w      io.Writer
	colour bool
	// err is the first error of w; what follows is not written.
	err error
}

// paint colours s if the reader can see it.
func (p *printer) paint(sgr, s string) string { return show.Paint(p.colour, sgr, s) }

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// header tells what is about to happen, and on which ports.
func (p *printer) header(title, picture string, ports []Port) {
	p.printf("%s: %s\n\n  %s\n\n", p.paint(show.Bold, "pmd demo"), title, picture)
	t := show.NewTable("PORT", "DRIVER", "MODE", "QUEUES→")
	for _, port := range ports {
		t.Row(port.Name, port.Driver, port.Mode, strconv.Itoa(port.Queues))
	}
	p.table(t)
	p.printf("\n")
}

// table writes a table with a bold header.
func (p *printer) table(t *show.Table) {
	var b bytes.Buffer
	_ = t.Write(&b, "  ") // a Buffer takes everything
	head, rest, _ := bytes.Cut(b.Bytes(), []byte("\n"))
	p.printf("%s\n%s", p.paint(show.Bold, string(head)), rest)
}

// check writes one check.
func (p *printer) check(c Check) {
	mark := p.paint(show.Green, "✓")
	if !c.OK {
		mark = p.paint(show.Red, "✗")
	}
	p.printf("  %s %-9s  %s\n", mark, c.Name, c.Detail)
}

// remarks say in few words why frames are lost in a demo. docs/drops.md says it of
// every reason.
var remarks = map[string]string{
	"rx_dropped":   "no free frame was posted: the flood is faster than the poller, as intended",
	"rx_ring_full": "receive ring full: the flood is faster than the poller, as intended",
	"tx_full":      "transmit ring full: the flood is faster than the output, as intended",
	"sink":         "forwarding is off",
}

// results writes what the flood came to, and what was lost why.
func (p *printer) results(r *Report) {
	p.printf("\n  %s forwarded, frames of %d bytes, for %.2f s\n",
		p.paint(show.Bold, show.PPS(r.Throughput.PPS)), r.Throughput.FrameSize, r.Throughput.Seconds)
	p.printf("  %s of %s frames of the pool accounted for\n\n", show.Count(uint64(r.Frames.Accounted)), show.Count(uint64(r.Frames.Pool)))
	if len(r.Drops) == 0 {
		p.printf("  no frame was lost\n\n")
		return
	}
	t := show.NewTable("LOST AS", "FRAMES→", "BECAUSE")
	for _, reason := range slices.Sorted(maps.Keys(r.Drops)) {
		because, ok := remarks[reason]
		if !ok {
			because = "see docs/drops.md"
		}
		t.Row(reason, show.Count(r.Drops[reason]), because)
	}
	p.table(t)
	p.printf("\n")
}

// verdict writes the last line. after says what became of the demo.
func (p *printer) verdict(r *Report, took time.Duration, after string) {
	n, all := r.passed(), len(r.Checks)
	text := p.paint(show.Green, fmt.Sprintf("All %d checks passed", all))
	if n < all {
		text = p.paint(show.Red, fmt.Sprintf("%d of %d checks failed", all-n, all))
	}
	p.printf("  %s in %.1f s. %s\n", text, took.Seconds(), after)
}

// keepLines says how to look at what goes on running.
func keepLines(hints []string) string {
	var b bytes.Buffer
	b.WriteString("\n  Look at it from another terminal; Ctrl-C ends it and removes everything:\n\n")
	for _, h := range hints {
		b.WriteString("    " + h + "\n")
	}
	return b.String()
}
