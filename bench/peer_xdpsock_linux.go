package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// xdpsockSkip is how many reports of xdpsock, a second apart, go before what is measured by
// them: in the first, frames began to come.
const xdpsockSkip = 1

// xdpsock sets up rounds of the kernel's example of AF_XDP. It takes one port: what it
// forwards leaves where it came from.
func (f *field) xdpsock() {
	// A wakeup for each batch is asked for: without -c it forwards nothing in copy mode
	// until its ring is full.
	args := []string{"-N", "-c", "-x", "-n", "1", "-q", "0"}
	switch f.Mode {
	case "rxonly":
		args = append(args, "-r", "-i", "p0")
	case "txonly":
		args = append(args, "-t", "-i", "p1", "-s", strconv.Itoa(f.Size)) // with the check sequence
	default:
		f.open = f.w.openPorts("p0")
		args = append(args, "-l", "-i", "p0")
	}
	f.theirs = func(ctx context.Context, length time.Duration) (Sample, error) {
		return f.xdpsockRound(ctx, length, args)
	}
}

// withoutDispatcher is the environment in which libxdp attaches a program by itself, as we do.
// The chain of programs that it would make needs a BPF file system and costs a call.
func withoutDispatcher() []string {
	return append(os.Environ(), "LIBXDP_SKIP_DISPATCHER=1", "LC_ALL=C")
}

// xdpsockRound is a round of theirs. Its last report, when it has been told to end, is its
// account.
func (f *field) xdpsockRound(ctx context.Context, length time.Duration, args []string) (s Sample, err error) {
	run, cancel := context.WithTimeout(ctx, peerStart+length)
	defer cancel()
	// Its lines are to come when they are written, not when its buffer is full.
	cmd := ended(exec.CommandContext(run, "stdbuf", append([]string{"-oL", f.Peer.Program}, args...)...))
	cmd.Env = withoutDispatcher()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	cmd.Stderr = cmd.Stdout
	before, err := f.far.count()
	if err != nil {
		return s, err
	}
	if err := f.startPinned(cmd); err != nil {
		return s, fmt.Errorf("%s: %w", f.Peer.Name, err)
	}
	reports := make(chan xdpsockReport, 1000)
	var text string
	go func() {
		defer close(reports)
		text = readXdpsock(out, reports)
	}()
	var last xdpsockReport
	end := sync.OnceValue(func() error {
		cancel()
		for r := range reports {
			last = r
		}
		_ = cmd.Wait() // interrupted
		return f.detach()
	})
	defer func() { err = errors.Join(err, end()) }()
	if _, ok := <-reports; !ok {
		return s, endedEarly(f.Peer.Name, text)
	}
	stop := func() (uint64, error) { return 0, nil }
	if f.Mode != "txonly" {
		if stop, err = f.generate(ctx); err != nil {
			return s, err
		}
	}
	if f.Mode == "rxonly" {
		s, err = f.xdpsockRates(ctx, reports, max(1, int(length.Round(time.Second)/time.Second)))
	} else if err = sleep(ctx, min(peerWarmUp, length)); err == nil {
		s, err = countFor(ctx, length, f.cpus(), f.far.count)
	}
	sent, e := stop()
	if err = errors.Join(err, e); err != nil {
		return s, err
	}
	if f.Mode != "txonly" { // it goes on until told
		if _, err := f.settled(); err != nil {
			return s, err
		}
	}
	if err := end(); err != nil {
		return s, err
	}
	there, err := f.settled()
	if err != nil {
		return s, err
	}
	return s, f.xdpsockAccount(last, sent, there-before)
}

// endedEarly says what a program wrote that ended when it should not. Those of the kernel's
// examples do if they may not lift the limit of locked memory.
func endedEarly(name, text string) error {
	if strings.Contains(text, "RLIMIT_MEMLOCK") || strings.Contains(text, "setrlimit") {
		return fmt.Errorf("%w: %s lifts the limit of locked memory, which needs CAP_SYS_RESOURCE: give it, or run on the host", ErrLacking, name)
	}
	return fmt.Errorf("%s ended early:\n%s", name, lastLines(text, 15))
}

// xdpsockRates measures by the rates that it tells each second: the median of so many.
func (f *field) xdpsockRates(ctx context.Context, reports <-chan xdpsockReport, seconds int) (s Sample, err error) {
	for len(reports) > 0 {
		<-reports
	}
	var rates []float64
	var before usage
	for n := 0; len(rates) < seconds; n++ {
		select {
		case r, ok := <-reports:
			switch {
			case !ok:
				return s, fmt.Errorf("%s ended early", f.Peer.Name)
			case n > xdpsockSkip:
				rates = append(rates, r.rxRate)
			case n == xdpsockSkip:
				before = readUsage(f.cpus())
			}
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	after := readUsage(f.cpus())
	s.Seconds, s.PPS = after.at.Sub(before.at).Seconds(), median(rates)
	s.Packets = uint64(s.PPS * s.Seconds)
	s.CPU = (after.busy - before.busy) / s.Seconds
	return s, nil
}

// xdpsockAccount checks its account: what arrived at its port, of which it never sees what
// came before its socket was in the program's map, and what arrived at the far end. It counts a
// frame as sent when it is on the ring, and leaves behind what is there at its end.
func (f *field) xdpsockAccount(r xdpsockReport, sent, there uint64) error {
	const ring = 2048
	switch {
	case f.Mode != "txonly" && r.rx+r.dropped+r.full > sent:
		return voidf("%s received %d frames and %d were dropped, but %d were sent", f.Peer.Name, r.rx, r.dropped+r.full, sent)
	case f.Mode != "rxonly" && (there > r.tx || r.tx-there > ring):
		return voidf("%s sent %d frames, %d arrived", f.Peer.Name, r.tx, there)
	case f.Mode != "rxonly" && f.Mode != "txonly" && r.rx != r.tx:
		return voidf("%s received %d frames and sent %d", f.Peer.Name, r.rx, r.tx)
	}
	return nil
}

// xdpsockReport is what it reports each second: frames received and sent altogether, the rates
// of the second, and the frames that the kernel dropped.
type xdpsockReport struct {
	rx, tx, dropped, full uint64
	rxRate, txRate        float64
}

// xdpsockLine is a line of a report: name, rate and count.
var xdpsockLine = regexp.MustCompile(`^(rx|tx|rx dropped|rx queue full|tx ring empty) +([\d,]+) +([\d,]+) *$`)

// readXdpsock reads what it writes, passes each report on that is whole, and returns the rest.
func readXdpsock(in io.Reader, reports chan<- xdpsockReport) string {
	var text strings.Builder
	var r xdpsockReport
	for lines := bufio.NewScanner(in); lines.Scan(); {
		m := xdpsockLine.FindStringSubmatch(lines.Text())
		if m == nil {
			text.WriteString(lines.Text() + "\n")
			continue
		}
		rate, e1 := strconv.ParseFloat(strings.ReplaceAll(m[2], ",", ""), 64)
		count, e2 := strconv.ParseUint(strings.ReplaceAll(m[3], ",", ""), 10, 64)
		if e1 != nil || e2 != nil {
			continue
		}
		switch m[1] {
		case "rx":
			r = xdpsockReport{rx: count, rxRate: rate}
		case "tx":
			r.tx, r.txRate = count, rate
		case "rx dropped":
			r.dropped = count
		case "rx queue full":
			r.full = count
		default: // the last line
			reports <- r
		}
	}
	return text.String()
}
