package cpu

import (
	"errors"
	"fmt"
)

// The reasons a [CPUError] can have, for [errors.Is].
var (
	// ErrNoSuchCPU: the machine has no CPU of that number.
	ErrNoSuchCPU = errors.New("does not exist")
	// ErrOffline: the CPU is there, but the kernel runs nothing on it. Writing 1 to its
	// online file in sysfs may change that.
	ErrOffline = errors.New("is offline")
	// ErrNotAllowed: the affinity mask or the cpuset of this process leaves the CPU out.
	ErrNotAllowed = errors.New("is not allowed to this process (affinity mask or cpuset)")
)

// CPUError says why a CPU cannot be used, and which ones can.
type CPUError struct {
	CPU     int   // the CPU asked for
	Reason  error // ErrNoSuchCPU, ErrOffline or ErrNotAllowed
	Allowed Set   // the CPUs that are online and allowed
}

// Error names the CPU, the reason and the CPUs to choose from, in one line.
func (e *CPUError) Error() string {
	choice := "choose from " + e.Allowed.String()
	if e.Allowed.IsEmpty() {
		choice = "no CPU is left to choose from"
	}
	return fmt.Sprintf("CPU %d %v: %s", e.CPU, e.Reason, choice)
}

// Unwrap returns the reason.
func (e *CPUError) Unwrap() error { return e.Reason }

// Check reports whether this process may poll on the given CPU. The error is a [*CPUError].
func (t *Topology) Check(cpu int) error {
	var reason error
	switch {
	case t.Online.Has(cpu) && t.Allowed.Has(cpu):
		return nil
	case t.Online.Has(cpu):
		reason = ErrNotAllowed
	case t.Present.Has(cpu):
		reason = ErrOffline
	default:
		// A possible CPU that is not present is an empty hotplug slot.
		reason = ErrNoSuchCPU
	}
	return &CPUError{CPU: cpu, Reason: reason, Allowed: t.Allowed.And(t.Online)}
}

// CheckSet is [Topology.Check] for each CPU of the set, lowest first, up to the first error.
func (t *Topology) CheckSet(s Set) error {
	for id := range s.All() {
		if err := t.Check(id); err != nil {
			return err
		}
	}
	return nil
}
