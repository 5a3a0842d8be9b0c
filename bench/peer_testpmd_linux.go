package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/netlab"
)

// testpmd is DPDK's forwarder, and how to run it. Values belong to one goroutine.
type testpmd struct {
	mode  string
	vdevs []string
	// poll are the CPUs that poll, main is that of the main thread, which sleeps.
	poll []int
	main int
	args []string
	// inside is the namespace to run in; nil is ours.
	inside *netlab.Namespace
	// ready is called when it runs, done before it is told to stop.
	ready, done func() error
	// measure is how to measure for so long. Default: its own rates.
	measure func(ctx context.Context, length time.Duration) (Sample, error)

	// sent is how many frames the last run sent, by its own account.
	sent uint64
}

// afxdpDevice is one queue of port i. net_af_xdp finds one queue on a veth, however many
// there are, as it asks for combined channels; so a queue is a device of its own, and
// testpmd pairs devices as it does ports. busy_budget=0 is the faster setting on veth.
func afxdpDevice(i, queue int) string {
	return fmt.Sprintf("net_af_xdp%d,iface=p%d,start_queue=%d,busy_budget=0", 2*queue+i, i, queue)
}

// lines of testpmd: rates with --stats-period, and the account at the end.
var (
	testpmdTx      = regexp.MustCompile(`Tx-pps:\s+(\d+)`)
	testpmdRx      = regexp.MustCompile(`Rx-pps:\s+(\d+)`)
	testpmdCycles  = regexp.MustCompile(`CPU cycles/packet=([\d.]+)`)
	testpmdAccount = regexp.MustCompile(`(?s)Accumulated forward statistics for all ports.*?RX-packets: (\d+).*?TX-packets: (\d+)\s+TX-dropped: (\d+)`)
)

const (
	// testpmdSkip is how many reports of testpmd, a second apart, go before what is
	// measured: the first has no rates, the second those of its start.
	testpmdSkip = 2
	// peerStart is how long a peer may take to start and end.
	peerStart = time.Minute
)

// command is how to start it.
func (p *testpmd) command(ctx context.Context) *exec.Cmd {
	lcores := fmt.Sprintf("0@%d", p.main)
	for i, id := range p.poll {
		lcores += fmt.Sprintf(",%d@%d", i+1, id)
	}
	args := []string{"--lcores", lcores, "-m", "512", "--in-memory", "--no-pci"}
	for _, v := range p.vdevs {
		args = append(args, "--vdev", v)
	}
	args = append(args, "--", "--forward-mode="+p.mode, fmt.Sprintf("--nb-cores=%d", len(p.poll)), "--auto-start", "--stats-period", "1",
		fmt.Sprintf("--total-num-mbufs=%d", 16384*len(p.poll)))
	if p.mode == "rxonly" {
		args = append(args, "--record-core-cycles")
	}
	return ended(exec.CommandContext(ctx, peerTestpmd.Program, append(args, p.args...)...))
}

// ended has a command told to end by SIGINT when its context is done, and killed if it
// does not listen.
func ended(cmd *exec.Cmd) *exec.Cmd {
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs testpmd and measures it for some time, in whole seconds by its own rates.
func (p *testpmd) run(ctx context.Context, length time.Duration) (s Sample, err error) {
	undo, err := hugePages(512)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, undo()) }()
	ctx, cancel := context.WithTimeout(ctx, peerStart+length)
	defer cancel()
	cmd := p.command(ctx)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	cmd.Stderr = cmd.Stdout
	start := cmd.Start
	if p.inside != nil {
		start = func() error { return p.inside.Do(cmd.Start) }
	}
	if err := start(); err != nil {
		return s, fmt.Errorf("testpmd: %w", err)
	}
	var text strings.Builder
	measured := false
	reports := p.reports(ctx, length, &s)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if measured || err != nil {
			continue
		}
		if measured, err = reports(lines.Text()); measured || err != nil {
			if p.done != nil {
				err = errors.Join(err, p.done())
			}
			if e := cmd.Process.Signal(unix.SIGINT); e != nil && !errors.Is(e, os.ErrProcessDone) {
				err = errors.Join(err, e)
			}
		}
	}
	_ = cmd.Wait() // testpmd's exit status after a signal says nothing
	switch {
	case err != nil:
		return s, err
	case ctx.Err() != nil:
		return s, ctx.Err()
	case !measured:
		return s, fmt.Errorf("testpmd ended early:\n%s", lastLines(text.String(), 15))
	}
	err = p.account(text.String(), &s)
	return s, err
}

// reports returns a function that is given the lines of testpmd, and says when s is
// complete.
func (p *testpmd) reports(ctx context.Context, length time.Duration, s *Sample) func(line string) (bool, error) {
	want := testpmdTx
	if p.mode == "rxonly" {
		want = testpmdRx
	}
	seconds := max(1, int(length.Round(time.Second)/time.Second))
	var rates []float64
	var sum float64
	var before usage
	lines, report := 0, 0
	return func(line string) (bool, error) {
		m := want.FindStringSubmatch(line)
		if m == nil {
			return false, nil
		}
		x, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return false, fmt.Errorf("testpmd: %q: %w", line, err)
		}
		sum += x
		if lines++; lines%len(p.vdevs) != 0 {
			return false, nil
		}
		report++
		rate := sum
		sum = 0
		if report == 1 && p.ready != nil {
			return false, p.ready()
		}
		switch {
		case report == testpmdSkip && p.measure != nil:
			*s, err = p.measure(ctx, length)
			return true, err
		case report == testpmdSkip:
			before = readUsage(p.cpus())
		case report > testpmdSkip:
			rates = append(rates, rate)
		}
		if len(rates) < seconds {
			return false, nil
		}
		after := readUsage(p.cpus())
		s.Seconds = after.at.Sub(before.at).Seconds()
		s.PPS = median(rates)
		s.Packets = uint64(s.PPS * s.Seconds)
		s.CPU = (after.busy - before.busy) / s.Seconds
		return true, nil
	}
}

// cpus are those of the comparison.
func (p *testpmd) cpus() []int { return append([]int{p.main}, p.poll...) }

// account checks the account that testpmd gives at its end.
func (p *testpmd) account(text string, s *Sample) error {
	m := testpmdAccount.FindStringSubmatch(text)
	if m == nil {
		return voidf("testpmd gave no account: %s", lastLines(text, 5))
	}
	var v [3]uint64
	for i := range v {
		var err error
		if v[i], err = strconv.ParseUint(m[i+1], 10, 64); err != nil {
			return fmt.Errorf("testpmd: account: %w", err)
		}
	}
	p.sent = v[1]
	switch p.mode {
	case "rxonly":
		if v[1] != 0 {
			return voidf("testpmd in mode rxonly sent %d frames", v[1])
		}
		if c := testpmdCycles.FindStringSubmatch(text); c != nil {
			s.Cycles, _ = strconv.ParseFloat(c[1], 64)
		}
	case "txonly":
	default:
		if v[0] != v[1]+v[2] {
			return voidf("testpmd received %d frames, sent %d and dropped %d", v[0], v[1], v[2])
		}
	}
	return nil
}

// lastLines returns the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// readNumber reads a file with a number.
func readNumber(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// hugePages sees to it that n pages of 2 MiB are reserved and free and hugetlbfs is mounted. What
// undo returns puts both back.
func hugePages(n int) (undo func() error, err error) {
	const dir = "/sys/kernel/mm/hugepages/hugepages-2048kB/"
	var undone []func() error
	undo = func() error { return undoAll(&undone) }
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("huge pages: %w", err), undo())
		}
	}()
	before, err := readNumber(dir + "nr_hugepages")
	if err != nil {
		return undo, err
	}
	free, err := readNumber(dir + "free_hugepages")
	if err != nil {
		return undo, err
	}
	if free < n { // others may have some of them
		set := func(n int) error { return os.WriteFile(dir+"nr_hugepages", []byte(strconv.Itoa(n)), 0o644) }
		undone = append(undone, func() error { return set(before) })
		if err := set(before + n - free); err != nil {
			return undo, err
		}
		if free, err = readNumber(dir + "free_hugepages"); err != nil || free < n {
			return undo, errors.Join(fmt.Errorf("%d free pages of 2 MiB are not to be had, %d are: free memory", n, free), err)
		}
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil || strings.Contains(string(mounts), " hugetlbfs ") {
		return undo, err
	}
	made, err := os.MkdirTemp("", "pmd-bench-")
	if err != nil {
		return undo, err
	}
	undone = append(undone, func() error { return os.RemoveAll(made) })
	huge := filepath.Join(made, "huge")
	if err := os.Mkdir(huge, 0o700); err != nil {
		return undo, err
	}
	if err := unix.Mount("hugetlbfs", huge, "hugetlbfs", 0, ""); err != nil {
		return undo, fmt.Errorf("mount hugetlbfs on %s: %w", huge, err)
	}
	undone = append(undone, func() error { return unix.Unmount(huge, 0) })
	return undo, nil
}
