package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/pmd/bench"
)

// A block is one run of a program: so many rounds of such a length.
const (
	blockRounds = 10
	blockLength = bench.MinRoundLength
)

// Shares of a block above which it is void.
const (
	// maxWaiting is for the time in which a polling thread could have run and did not.
	maxWaiting = 0.10
	// maxSteal is for the time of a polled CPU that the hypervisor took.
	maxSteal = 0.02
)

// block is what a run found.
type block struct {
	ns     float64 // the time of a packet
	result *bench.Result
	// disturbed tells why it is void; empty if it is not.
	disturbed string
}

// errUnknown says that a program does not know the command or the scenario.
var errUnknown = errors.New("not known")

// runBlock runs a program once.
func runBlock(ctx context.Context, program string, s bench.Scenario) (b block, err error) {
	cmd := exec.CommandContext(ctx, program, "bench", "run", s.Name(), "--json",
		"--rounds", strconv.Itoa(blockRounds), "--length", blockLength.String())
	group(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	steal := stolen()
	if err := cmd.Start(); err != nil {
		return b, err
	}
	ended := make(chan struct{})
	waiting := make(chan float64, 1)
	go func() { waiting <- watchWaiting(cmd.Process.Pid, s.Cores, ended) }()
	err = cmd.Wait()
	close(ended)
	waited := <-waiting
	stealAfter := stolen()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return b, ctx.Err()
	case errors.As(err, &exit) && exit.ExitCode() == 2:
		return b, fmt.Errorf("%w: %s", errUnknown, brief(stderr.String()))
	case err != nil:
		return b, fmt.Errorf("%w: %s", err, brief(stderr.String()))
	}
	results, err := bench.ReadResults(&stdout)
	if err != nil {
		return b, fmt.Errorf("what it printed: %w", err)
	}
	if len(results) != 1 || results[0].Name != s.Name() || len(results[0].Rounds) < bench.MinRounds {
		return b, errors.New("it printed no result of this scenario")
	}
	b.result, b.ns = results[0], quick(results[0])
	if !(b.ns > 0) || math.IsInf(b.ns, 0) {
		return b, errors.New("its result has no rate")
	}
	if waited > maxWaiting {
		b.disturbed = fmt.Sprintf("a polling thread waited for its CPU %.0f %% of the time", 100*waited)
	}
	for _, id := range b.result.Polled {
		before, known := steal[id]
		if share := (stealAfter[id].steal - before.steal) / max(stealAfter[id].total-before.total, 1); known && share > maxSteal {
			b.disturbed = fmt.Sprintf("the hypervisor took %.0f %% of CPU %d's time", 100*share, id)
		}
	}
	return b, nil
}

// quick is the time of a packet that a quarter of the rounds did not exceed. What disturbs
// a round makes it longer, never shorter: pairs of quartiles vary less than those of medians,
// and less than those of the fastest, which are too few.
func quick(r *bench.Result) float64 {
	var pps []float64
	for _, round := range r.Rounds {
		pps = append(pps, round.PPS)
	}
	slices.Sort(pps)
	return 1e9 * float64(len(r.Polled)) / pps[len(pps)*3/4]
}

// watchWaiting returns the share of its time that a process's busiest threads, so many,
// waited for a CPU although they could run: for the one that waited most. It looks while
// the process runs, until ended is closed. 0 if the kernel does not tell
// (/proc/PID/task/TID/schedstat: time on the CPU, time on a run queue, in nanoseconds; Documentation/scheduler/sched-stats.rst).
func watchWaiting(pid, busiest int, ended <-chan struct{}) float64 {
	type times struct{ ran, waited float64 }
	threads := map[string]times{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if f := strings.Fields(string(text)); err == nil && len(f) >= 2 {
				ran, _ := strconv.ParseFloat(f[0], 64)
				waited, _ := strconv.ParseFloat(f[1], 64)
				threads[path] = times{ran, waited}
			}
		}
		select {
		case <-ended:
			var all []times
			for _, t := range threads {
				all = append(all, t)
			}
			slices.SortFunc(all, func(a, b times) int { return int(math.Copysign(1, b.ran+b.waited-a.ran-a.waited)) })
			worst := 0.0
			for _, t := range all[:min(busiest, len(all))] {
				if sum := t.ran + t.waited; sum > 0 {
					worst = max(worst, t.waited/sum)
				}
			}
			return worst
		case <-tick.C:
		}
	}
}

// cpuTimes are the time stolen of a CPU and its time altogether, in ticks.
type cpuTimes struct{ steal, total float64 }

// stolen reads those of each CPU, empty if the kernel does not tell.
func stolen() map[int]cpuTimes {
	text, _ := os.ReadFile("/proc/stat")
	return parseStolen(string(text))
}

// parseStolen reads /proc/stat (proc_stat(5)): user, nice, system, idle, iowait, irq,
// softirq, steal, guest and guest_nice, of which user and nice contain the last two.
func parseStolen(text string) map[int]cpuTimes {
	out := map[int]cpuTimes{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 9 {
			continue
		}
		number, ok := strings.CutPrefix(f[0], "cpu")
		id, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue
		}
		var t cpuTimes
		for _, s := range f[1:9] {
			v, _ := strconv.ParseUint(s, 10, 63)
			t.total += float64(v)
			t.steal = float64(v) // the last of them
		}
		out[id] = t
	}
	return out
}
