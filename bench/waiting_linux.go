package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
)

// threads are those of the workers, by the kernel's numbers.
func (r *Rig) threads(ctx context.Context) (ids []int, err error) {
	for i := range r.d.Workers() {
		if err := r.d.Do(ctx, i, func(*dataplane.Worker) { ids = append(ids, unix.Gettid()) }); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// waitingTimes are how long threads of this process have waited for a CPU although they
// could run; 0 where the kernel does not tell. It is the second field of
// /proc/PID/task/TID/schedstat, in nanoseconds (Documentation/scheduler/sched-stats.rst).
func waitingTimes(threads []int) (out []time.Duration) {
	for _, id := range threads {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", id))
		out = append(out, parseWaiting(string(text)))
	}
	return out
}

// parseWaiting reads a schedstat.
func parseWaiting(text string) time.Duration {
	f := strings.Fields(text)
	if len(f) < 2 {
		return 0
	}
	ns, _ := strconv.ParseInt(f[1], 10, 64)
	return time.Duration(max(ns, 0))
}
