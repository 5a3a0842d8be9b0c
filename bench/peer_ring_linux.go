package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
	"example.org/pmd/queue"
)

// rings sets up rounds of our rings, and of rte_ring by DPDK's own measurement of it: bulks of
// 8-byte elements, in and out on one core in turn, or in on one and out on another.
func (f *field) rings() { f.ours, f.theirs = f.ourRing, f.rteRing }

const (
	// rteRingSize is that of rte_ring in its measurement, and of ours.
	rteRingSize = 4096
	// rteRingPages is how many huge pages of 2 MiB it gets.
	rteRingPages = 64
	// ringChunk is how many bulks are tried between two looks at the clock.
	ringChunk = 4096
	// ringRest is how many cycles a side rests that found no room or nothing to take.
	ringRest = 1000
)

// rest is for whoever has to wait for the other side: each look takes a cache line from it,
// and where that has far to go the other side does nothing else than fetch it back. A poll
// loop has other work in between. The loops of DPDK's measurement execute one pause
// instruction there.
func rest() {
	for start := cpu.Cycles(); cpu.Cycles()-start < ringRest; {
	}
}

// ringEnds are the inner loops over a ring, for a chunk of bulks: of each kind its own, for
// direct calls. Through an interface a call takes some ten cycles more, which is not the
// ring's.
type ringEnds struct {
	// both puts bulks in and takes each out again, and tells whether that always went.
	both func(src, dst []uint64) bool
	// put and take do one, and return how many went.
	put  func(src []uint64) uint64
	take func(dst []uint64) uint64
}

func spscEnds() (ringEnds, error) {
	r, err := queue.NewSPSC[uint64](rteRingSize)
	return ringEnds{
		put: func(src []uint64) (n uint64) {
			for range ringChunk {
				if r.EnqueueBulk(src) {
					n++
				} else {
					rest()
				}
			}
			return n
		},
		take: func(dst []uint64) (n uint64) {
			for range ringChunk {
				if r.DequeueBulk(dst) {
					n++
				} else {
					rest()
				}
			}
			return n
		},
	}, err
}

func mpmcEnds() (ringEnds, error) {
	r, err := queue.NewMPMC[uint64](rteRingSize)
	return ringEnds{
		both: func(src, dst []uint64) bool {
			ok := true
			for range ringChunk {
				ok = r.EnqueueBulk(src) && r.DequeueBulk(dst) && ok
			}
			return ok
		},
		put: func(src []uint64) (n uint64) {
			for range ringChunk {
				if r.EnqueueBulk(src) {
					n++
				} else {
					rest()
				}
			}
			return n
		},
		take: func(dst []uint64) (n uint64) {
			for range ringChunk {
				if r.DequeueBulk(dst) {
					n++
				} else {
					rest()
				}
			}
			return n
		},
	}, err
}

// ourRing is a round of ours. Every bulk that went in must come out, and those that are looked
// at, one in each chunk, must have the elements that went in.
func (f *field) ourRing(ctx context.Context, length time.Duration) (s Sample, err error) {
	ends := mpmcEnds
	if f.Mode == "spsc" {
		ends = spscEnds
	}
	e, err := ends()
	if err != nil {
		return s, err
	}
	var t ringTally
	before := readUsage(f.cpus())
	if f.Cores == 1 {
		err = onCPU(f.poll[0], func(p *cpu.Pinned) { t.oneCore(ctx, p, e, f.Size, length) })
	} else {
		err = t.twoCores(ctx, e, f.poll, f.Size, length)
	}
	after := readUsage(f.cpus())
	if err = errors.Join(err, ctx.Err()); err != nil {
		return s, err
	}
	if t.wrong || t.put != t.taken {
		return s, voidf("%d bulks went in and %d came out, or others", t.put, t.taken)
	}
	s.Packets = t.taken * uint64(f.Size)
	s.Seconds = t.ended.Sub(t.began).Seconds()
	s.PPS = float64(s.Packets) / s.Seconds
	s.CPU = (after.busy - before.busy) / after.at.Sub(before.at).Seconds()
	return s, nil
}

// ringTally is the account of a round over a ring.
type ringTally struct {
	began, ended time.Time
	put, taken   uint64 // bulks
	wrong        bool   // a bulk that came out had not gone in
}

// oneCore puts bulks in and takes them out in turn, for some time and at least a chunk.
func (t *ringTally) oneCore(ctx context.Context, p *cpu.Pinned, e ringEnds, bulk int, length time.Duration) {
	src, dst := bulkOf(bulk), make([]uint64, bulk)
	t.began = time.Now()
	for yielded := t.began; ; {
		if !e.both(src, dst) || !slices.Equal(src, dst) {
			t.wrong = true
		}
		t.put, t.taken = t.put+ringChunk, t.taken+ringChunk
		if t.ended = time.Now(); t.ended.Sub(t.began) >= length || ctx.Err() != nil {
			return
		}
		yielded = yieldBy(p, yielded, t.ended)
	}
}

// twoCores puts bulks in on one CPU and takes them out on the other, for some time from when
// both run there, and at least a chunk.
func (t *ringTally) twoCores(ctx context.Context, e ringEnds, cpus []int, bulk int, length time.Duration) error {
	// The Store comes behind the last bulk that is put in and pairs with the Load before a
	// chunk is taken out: if that chunk finds less than it could take, the ring is empty.
	var over atomic.Bool
	listens, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- onCPU(cpus[1], func(p *cpu.Pinned) {
			close(listens)
			src, dst := bulkOf(bulk), make([]uint64, bulk)
			for yielded := time.Now(); ; {
				last := over.Load()
				n := e.take(dst)
				if t.taken += n; n > 0 && !slices.Equal(src, dst) {
					t.wrong = true
				}
				if t.ended = time.Now(); last && n < ringChunk {
					return
				}
				yielded = yieldBy(p, yielded, t.ended)
			}
		})
	}()
	select {
	case err := <-done: // it could not be pinned
		return err
	case <-listens:
	}
	err := onCPU(cpus[0], func(p *cpu.Pinned) {
		src := bulkOf(bulk)
		t.began = time.Now()
		for yielded := t.began; ; {
			t.put += e.put(src)
			now := time.Now()
			if now.Sub(t.began) >= length || ctx.Err() != nil {
				return
			}
			yielded = yieldBy(p, yielded, now)
		}
	})
	over.Store(true)
	return errors.Join(err, <-done)
}

// yieldBy yields if that was long ago, and returns when it was last.
func yieldBy(p *cpu.Pinned, last, now time.Time) time.Time {
	if now.Sub(last) < cpu.YieldEvery {
		return last
	}
	p.Yield()
	return now
}

// bulkOf returns numbers to send.
func bulkOf(n int) (out []uint64) {
	for i := range n {
		out = append(out, uint64(i+1))
	}
	return out
}

// onCPU runs fn pinned.
func onCPU(id int, fn func(*cpu.Pinned)) error {
	p, err := cpu.Pin(id)
	if err != nil {
		return err
	}
	fn(p)
	return p.Release()
}

// rteRing is a round of theirs, which has a length of its own: it ends with the figure. What
// DPDK measures are cycles by the counter that cpu.Cycles reads, which are made a rate with
// the frequency that this had meanwhile.
func (f *field) rteRing(ctx context.Context, _ time.Duration) (s Sample, err error) {
	undo, err := hugePages(rteRingPages)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, undo()) }()
	run, cancel := context.WithTimeout(ctx, peerStart)
	defer cancel()
	lcores := fmt.Sprintf("0@%d", f.poll[0])
	if f.Cores == 2 {
		lcores += fmt.Sprintf(",1@%d", f.poll[1])
	}
	cmd := ended(exec.CommandContext(run, f.Peer.Program, "--lcores", lcores, "-m", strconv.Itoa(2*rteRingPages), "--in-memory", "--no-pci"))
	cmd.Env = append(os.Environ(), "DPDK_TEST=ring_perf_autotest")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	cmd.Stderr = cmd.Stdout
	before, cycles0 := readUsage(f.cpus()), cpu.Cycles()
	if err := cmd.Start(); err != nil {
		return s, fmt.Errorf("%s: %w", f.Peer.Name, err)
	}
	var text strings.Builder
	var cycles float64
	figure := rteRingReport{kind: rteRingKind(f.Mode), bulk: f.Size, cores: f.Cores}
	for lines := bufio.NewScanner(out); cycles == 0 && err == nil && lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		cycles, err = figure.add(lines.Text())
	}
	after, cycles1 := readUsage(f.cpus()), cpu.Cycles()
	// It has more to measure, and does not listen meanwhile.
	if e := cmd.Process.Signal(unix.SIGKILL); e != nil && !errors.Is(e, os.ErrProcessDone) {
		err = errors.Join(err, e)
	}
	_ = cmd.Wait() // killed
	switch {
	case err != nil:
		return s, fmt.Errorf("%s: %w", f.Peer.Name, err)
	case ctx.Err() != nil:
		return s, ctx.Err()
	case run.Err() != nil:
		return s, fmt.Errorf("%s did not measure that within %v", f.Peer.Name, peerStart)
	case cycles == 0:
		return s, fmt.Errorf("%s ended without that figure:\n%s", f.Peer.Name, lastLines(text.String(), 15))
	}
	s.Seconds = after.at.Sub(before.at).Seconds() // with its start and what it measured before
	s.PPS = float64(cycles1-cycles0) / s.Seconds / cycles
	s.CPU = (after.busy - before.busy) / s.Seconds
	return s, nil
}

// rteRingLine is a figure of dpdk-test's ring_perf_autotest: cycles of a bulk in and out on one
// core; on two those of an element, of both cores together (app/test/test_ring_perf.c).
var rteRingLine = regexp.MustCompile(`^legacy APIs: (SP/SC|MP/MC): bulk \(size: (\d+)\): ([\d.]+)`)

// rteRingReport looks for one figure in the lines of dpdk-test.
type rteRingReport struct {
	kind        string
	bulk, cores int

	section string
}

// add is given the next line. It returns the cycles that pass for an element if that is the
// line which tells them, else 0.
func (r *rteRingReport) add(line string) (float64, error) {
	if strings.HasPrefix(line, "### ") {
		r.section = line
	}
	m := rteRingLine.FindStringSubmatch(line)
	if m == nil || m[1] != r.kind || m[2] != strconv.Itoa(r.bulk) {
		return 0, nil
	}
	by := 2.0 // both cores' cycles
	switch {
	case r.cores == 1 && strings.HasPrefix(r.section, "### Testing bulk"):
		by = float64(r.bulk)
	case r.cores == 2 && strings.HasPrefix(r.section, "### Testing using two"):
	default:
		return 0, nil
	}
	cycles, err := strconv.ParseFloat(m[3], 64)
	if err != nil || !(cycles/by > 0) {
		return 0, fmt.Errorf("%q is no number of cycles", line)
	}
	return cycles / by, nil
}
