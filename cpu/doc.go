// Package cpu answers the questions a poll-mode dataplane asks about processors: which
// CPUs there are and which of them this process may use, how they are related, how a
// goroutine is tied to one of them, and how time is read there for next to nothing.
//
// # Model
//
// A CPU is a logical processor, named by the number the kernel gives it: the N of
// /sys/devices/system/cpu/cpuN. A [Set] holds such numbers and is written in the kernel's
// list syntax, as in "2-5,8".
//
// A [Topology] is a snapshot of sysfs. [Local] takes it for this machine and adds the
// allowed set: what the affinity mask and the cgroup leave to this process.
// [Topology.Check] judges a CPU a user asked for. [Topology.DefaultCores] chooses when
// nobody asked. [ReadTopology] reads any [io/fs.FS] shaped like /sys, which is how other
// machines are tested without having them.
//
// A poll core is a goroutine that called [Pin]: locked to its thread, and the thread bound
// to one CPU. That keeps the poll loop where it is, but keeps nobody else away. The threads
// of the Go runtime (collector, scheduler, network poller) inherited the mask of the process
// and run on the poll CPU when the kernel likes it there. [Confine] moves them off. The
// order is: take the Topology, set GOMAXPROCS with [Processors], Confine to the CPUs that do
// not poll, then Pin each worker.
//
// Time on the packet path comes from [Cycles], one instruction that reads the time-stamp
// counter (amd64) or the generic timer (arm64). A [Clock], made once by [Calibrate],
// converts the readings into time without a division.
//
// State that each poll core has for itself lives in a [PerCore], whose elements are on
// cache lines of their own.
//
// # Concurrency
//
// Set, Topology, Clock and Info do not change once made, and may be read from any goroutine. A [Pinned] belongs to the goroutine that called Pin. Confine and
// its restore function must not run at the same time as each other, Pin or Release. A
// PerCore hands out pointers: who may touch an element is for its user to decide, normally
// the one core it is meant for.
//
// # Limitations
//
// Pinning and confining exist on Linux only. Elsewhere these calls fail with an error that
// matches [errors.ErrUnsupported], and Local knows no more than runtime.NumCPU.
//
// A Topology does not follow CPU hotplug or a changed cpuset: take a new one.
//
// A mask that Release or the restore function puts back is the mask the kernel reported,
// which lists active CPUs only. A CPU that came online in between is not part of it.
//
// On amd64 the cycle counter is trusted only if the processor says its rate is invariant
// and the kernel has not withdrawn it as a clock source. Otherwise a Clock is based on the
// monotonic clock, and says so.
package cpu
