//go:build !linux

package vm

import "os/exec"

// dieWithParent is the Linux kernel's to do: elsewhere the time limit ends it.
func dieWithParent(*exec.Cmd) {}

// diskFull is not known here.
func diskFull(string) bool { return false }
