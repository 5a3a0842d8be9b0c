// Package usage tells mistakes of the user from failures of the machine: the first
// end a command with status 2, the second with status 1.
//
// # Model
//
// An error made by [Errorf] or [Wrap] is a mistake, however deep it is wrapped.
// So are the errors of packages that say so themselves: a port spec that cannot
// be obeyed ([pmd.ErrSpec]), and a CPU that is not there or not allowed
// ([cpu.CPUError]).
//
// # Concurrency
//
// Functions only; safe from any goroutine.
//
// # Limitations
//
// An error joined from several is a mistake if one of them is.
package usage
