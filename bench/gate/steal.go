package gate

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// maxSteal is the share of a polled CPU's time that the hypervisor may take.
const maxSteal = 0.02

// robbed tells which of the CPUs the hypervisor took too much time of since a reading of
// stolen; empty if none.
func robbed(cpus []int, before map[int]cpuTimes) string {
	after := stolen()
	for _, id := range cpus {
		b, known := before[id]
		if share := (after[id].steal - b.steal) / max(after[id].total-b.total, 1); known && share > maxSteal {
			return fmt.Sprintf("the hypervisor took %.0f %% of CPU %d's time", 100*share, id)
		}
	}
	return ""
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
