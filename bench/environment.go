package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"example.org/pmd/cpu"
)

// Environment is what a result depends on besides the code.
type Environment struct {
	// Kernel is its release, empty if not known.
	Kernel string `json:"kernel"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Go     string `json:"go"`
	// Revision is the commit that the program was built from, "+" if with changes;
	// empty if the build did not record it.
	Revision string `json:"revision,omitempty"`
	// CPU is the processor's name, CPUs the number that this process may use.
	CPU  string `json:"cpu"`
	CPUs int    `json:"cpus"`
	// Virtual says that the machine admits to be a virtual one.
	Virtual bool `json:"virtual"`
	// Governor is the frequency governor of CPU 0, SMT is simultaneous
	// multithreading, "on", "off" or as the kernel says; empty if not known.
	Governor string `json:"governor,omitempty"`
	SMT      string `json:"smt,omitempty"`
	// Isolated are the CPUs kept from the scheduler, as in 2-5,8.
	Isolated string `json:"isolated,omitempty"`
	// Mitigations are the vulnerabilities for which the kernel has one on.
	Mitigations []string `json:"mitigations,omitempty"`
}

// LocalEnvironment describes this machine. What cannot be read is left empty.
func LocalEnvironment() Environment {
	info := cpu.Features()
	e := Environment{
		Kernel: firstLine("/proc/sys/kernel/osrelease"), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
		CPU: info.Brand, Virtual: info.Hypervisor,
		Governor: firstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		SMT:      firstLine("/sys/devices/system/cpu/smt/control"),
	}
	if topo, err := cpu.Local(); err == nil {
		e.CPUs = topo.Allowed.And(topo.Online).Len()
		e.Isolated = topo.Isolated.String()
	}
	const vulnerabilities = "/sys/devices/system/cpu/vulnerabilities"
	entries, _ := os.ReadDir(vulnerabilities)
	for _, v := range entries {
		if strings.HasPrefix(firstLine(vulnerabilities+"/"+v.Name()), "Mitigation") {
			e.Mitigations = append(e.Mitigations, v.Name())
		}
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			switch {
			case s.Key == "vcs.revision":
				e.Revision = s.Value + e.Revision
			case s.Key == "vcs.modified" && s.Value == "true":
				e.Revision += "+"
			}
		}
	}
	return e
}

// firstLine returns the first line of a file, empty if there is none.
func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return strings.TrimSpace(string(line))
}

// Disturbance is what else happened on the machine during a round.
type Disturbance struct {
	// Known is false where there is no /proc/stat.
	Known bool `json:"known"`
	// Steal is the share of the CPUs' time that the hypervisor gave to others, 0 to 1
	// of all CPUs (proc_stat(5)).
	Steal float64 `json:"steal"`
	// Others is the share that went to processes other than this one, 0 to 1 of all
	// CPUs; interrupts are in neither.
	Others float64 `json:"others"`
	// Switches are context switches a second of the whole machine.
	Switches float64 `json:"switches"`
	// Load is the load average over a minute at the end.
	Load float64 `json:"load"`
}

// Shares of all CPUs' time above which a round is called disturbed.
const (
	maxSteal  = 0.02
	maxOthers = 0.05
)

// Disturbed tells what disturbed the round, in words; empty if nothing did.
func (d Disturbance) Disturbed() string {
	var why []string
	if d.Steal > maxSteal {
		why = append(why, fmt.Sprintf("%.0f %% of the CPU time was stolen by the hypervisor", 100*d.Steal))
	}
	if d.Others > maxOthers {
		why = append(why, fmt.Sprintf("%.0f %% of it went to other processes", 100*d.Others))
	}
	return strings.Join(why, ", ")
}

// machineTimes are counters of the machine, and of this process, in seconds.
type machineTimes struct {
	known             bool
	total, steal, ran float64
	own               float64
	switches          float64
	at                time.Time
}

// disturbanceWatch is a round under way.
type disturbanceWatch struct{ begin machineTimes }

func watchDisturbance() disturbanceWatch { return disturbanceWatch{readTimes()} }

func (w disturbanceWatch) end() Disturbance {
	return between(w.begin, readTimes(), firstLine("/proc/loadavg"))
}

// between is what happened from one reading to the next.
func between(a, b machineTimes, load string) Disturbance {
	total := b.total - a.total
	if !a.known || !b.known || total <= 0 {
		return Disturbance{}
	}
	d := Disturbance{
		Known: true, Steal: (b.steal - a.steal) / total,
		Others:   max(0, (b.ran-a.ran)-(b.own-a.own)) / total,
		Switches: (b.switches - a.switches) / b.at.Sub(a.at).Seconds(),
	}
	first, _, _ := strings.Cut(load, " ")
	d.Load, _ = strconv.ParseFloat(first, 64)
	return d
}

// readTimes reads the counters.
func readTimes() machineTimes {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machineTimes{}
	}
	t := parseStat(string(text))
	t.own, t.at = processTime().Seconds(), time.Now()
	return t
}

// userHz is USER_HZ, the unit of /proc/stat, on all systems that Go runs on.
const userHz = 100

// parseStat reads /proc/stat (proc_stat(5)): user, nice, system, idle, iowait, irq,
// softirq, steal, guest and guest_nice, of which user and nice contain the last two.
func parseStat(text string) (t machineTimes) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 9 && f[0] == "cpu":
			var v [8]float64
			for i := range v {
				n, err := strconv.ParseUint(f[i+1], 10, 64)
				if err != nil {
					return machineTimes{}
				}
				v[i] = float64(n) / userHz
				t.total += v[i]
			}
			t.ran, t.steal, t.known = v[0]+v[1]+v[2], v[7], true
		case len(f) == 2 && f[0] == "ctxt":
			t.switches, _ = strconv.ParseFloat(f[1], 64)
		}
	}
	return t
}
