// Package doctor looks at a machine as pmd would find it, says what stands in the way
// of forwarding or of doing so fast, and how to mend it. It changes nothing.
//
// # Model
//
// [Examine] asks a [Machine] and makes a [Report] of findings. A [Finding] is ok,
// an advice (pmd runs, but not as well as it could, or something could not be
// looked at), or a problem (pmd would fail). Commands in a finding can be
// copied: they mend it.
//
// What the kernel can do is found out by trying it, in a network namespace that
// goes with everything in it. Everything else is read: files below the root of
// a file system, and the facts of interfaces from package afxdp. So a machine that
// is not there can be examined, as the tests do.
//
// An interface that the user has named is checked for being a port. Others are told
// in a line each, with advice; there a port-to-be has no problem, since nobody has
// asked for it.
//
// # Concurrency
//
// Examine runs on one goroutine and may be called from several.
//
// # Limitations
//
// What is off this machine is not seen: the switch, the cable, the traffic. Settings
// of the firmware and of the NIC's own tools are not looked at.
package doctor
