package doctor

import (
	"fmt"
	"slices"
	"strings"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cpu"
)

// cpus looks at the CPUs that would be polled on. An error is one that cannot be.
func (e *examination) cpus() error {
	t := e.topo
	var shapes []engine.Shape
	for _, s := range e.subjects {
		if s.named && s.facts != nil {
			shapes = append(shapes, engine.Shape{Queues: s.facts.Queues.Live, NUMANode: s.facts.NUMANode})
		}
	}
	var err error
	switch {
	case len(shapes) > 0:
		e.poll, err = engine.PollCPUs(t, e.o.Cores, shapes)
	case e.o.Cores.IsEmpty():
		e.poll = t.DefaultCores()
	default:
		e.poll, err = e.o.Cores, t.CheckSet(e.o.Cores)
	}
	if err != nil {
		return err
	}
	usable := t.Allowed.And(t.Online)
	rest := usable.AndNot(e.poll)
	choice := "pmd would poll on CPU %v of %v"
	switch {
	case !e.o.Cores.IsEmpty():
		choice = "--cores polls on CPU %v of %v"
	case len(shapes) == 0:
		choice = "pmd would choose poll CPUs from %v of %v"
	}
	text := fmt.Sprintf(choice, e.poll, t.Online)
	if barred := t.Online.AndNot(t.Allowed); !barred.IsEmpty() {
		text += fmt.Sprintf("; %v may not be used (affinity or cpuset)", barred)
	}
	if rest.IsEmpty() {
		e.add(AreaCPU, "poll CPUs", Advice, text+": none is left for pmd's other threads and the kernel's work, which every poll loop then waits for")
	} else {
		e.add(AreaCPU, "poll CPUs", OK, text)
	}
	e.isolation()
	e.siblings()
	e.governor()
	e.balancing()
	return nil
}

// isolation looks at whether the scheduler and the timer keep off the poll CPUs.
func (e *examination) isolation() {
	t := e.topo
	open, ticking := e.poll.AndNot(t.Isolated), e.poll.AndNot(t.NoHzFull)
	if open.IsEmpty() && ticking.IsEmpty() {
		e.add(AreaCPU, "isolation", OK, "poll CPUs are isolated, without a timer tick (nohz_full)")
		return
	}
	if e.poll.Has(t.Online.Min()) {
		// The kernel needs a CPU of its own to do its work on.
		e.add(AreaCPU, "isolation", Advice, fmt.Sprintf("CPU %v shares its time with other programs: poll on CPUs other than %d, then isolate them", open, t.Online.Min()))
		return
	}
	what := "is not isolated: other programs take milliseconds of its time"
	if open.IsEmpty() {
		open, what = ticking, "is isolated, but the timer interrupts it (no nohz_full)"
	}
	args := fmt.Sprintf("isolcpus=managed_irq,domain,%v nohz_full=%v rcu_nocbs=%v", e.poll, e.poll, e.poll)
	var commands []string
	switch {
	case e.exists("sbin/grubby"), e.exists("usr/sbin/grubby"):
		commands = []string{fmt.Sprintf("grubby --update-kernel=ALL --args=%q", args), "reboot"}
	case e.exists("sbin/update-grub"), e.exists("usr/sbin/update-grub"):
		commands = []string{
			fmt.Sprintf("echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX %s\"' > /etc/default/grub.d/pmd.cfg", args),
			"update-grub", "reboot",
		}
	default:
		what += "; boot the kernel with " + args
	}
	e.add(AreaCPU, "isolation", Advice, fmt.Sprintf("CPU %v %s", open, what), commands...)
}

// siblings looks at the hardware threads that share a core with a poll CPU.
func (e *examination) siblings() {
	var both, others cpu.Set
	for id := range e.poll.All() {
		s := e.topo.Siblings(id).And(e.topo.Online).AndNot(cpu.SetOf(id))
		both = both.Or(s.And(e.poll))
		others = others.Or(s.AndNot(e.poll))
	}
	switch {
	case !both.IsEmpty():
		var one cpu.Set
		for id := range e.poll.All() {
			one = one.Or(cpu.SetOf(e.topo.Siblings(id).And(e.poll).Min()))
		}
		command := fmt.Sprintf("pmd run --cores %v", one)
		for _, name := range e.o.Interfaces {
			command += " --port " + e.spec(name)
		}
		e.add(AreaCPU, "SMT", Advice, fmt.Sprintf("poll CPUs %v share cores with each other, and two poll loops on one core slow each other down: poll on one of each core", both), command)
	case !others.IsEmpty():
		e.add(AreaCPU, "SMT", Advice, fmt.Sprintf("CPU %v shares a core with a poll CPU: what runs there slows the poll loop down", others), each(others, "echo 0 > /sys/devices/system/cpu/cpu%s/online"))
	default:
		e.add(AreaCPU, "SMT", OK, "poll CPUs have their cores to themselves")
	}
}

// each words a command for every CPU of a set.
func each(s cpu.Set, format string) string {
	ids := s.Slice()
	if len(ids) == 1 {
		return fmt.Sprintf(format, fmt.Sprint(ids[0]))
	}
	return fmt.Sprintf("for i in %s; do %s; done", words(ids), fmt.Sprintf(format, "$i"))
}

// words lists numbers with blanks between.
func words(ns []int) string { return strings.Trim(fmt.Sprint(ns), "[]") }

// governor looks at how the clock of the poll CPUs is chosen
// (Documentation/admin-guide/pm/cpufreq.rst).
func (e *examination) governor() {
	slow := map[string][]int{}
	seen := false
	for id := range e.poll.All() {
		g, ok := e.line(fmt.Sprintf("sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", id))
		seen = seen || ok
		if ok && g != "performance" {
			slow[g] = append(slow[g], id)
		}
	}
	switch {
	case !seen:
		e.add(AreaCPU, "governor", OK, "the clock of the CPUs is not this kernel's to choose")
	case len(slow) == 0:
		e.add(AreaCPU, "governor", OK, "poll CPUs run at full clock (governor performance)")
	default:
		var parts []string
		var all []int
		for g, ids := range slow {
			parts = append(parts, fmt.Sprintf("CPU %v has governor %s", cpu.SetOf(ids...), g))
			all = append(all, ids...)
		}
		slices.Sort(parts)
		e.add(AreaCPU, "governor", Advice, strings.Join(parts, ", ")+": the clock follows the load with a delay",
			fmt.Sprintf("cpupower -c %v frequency-set -g performance", cpu.SetOf(all...)))
	}
}

// balancing looks at whether the kernel moves memory between nodes, which it does by
// faults that it provokes (Documentation/admin-guide/sysctl/kernel.rst).
func (e *examination) balancing() {
	if len(e.topo.Nodes()) < 2 {
		return
	}
	if n, ok := e.number("proc/sys/kernel/numa_balancing"); ok && n != 0 {
		e.add(AreaCPU, "NUMA balancing", Advice, "the kernel moves memory between nodes, and has poll loops fault for it", "sysctl -w kernel.numa_balancing=0")
	} else {
		e.add(AreaCPU, "NUMA balancing", OK, fmt.Sprintf("%d NUMA nodes, and memory stays where it is", len(e.topo.Nodes())))
	}
}
