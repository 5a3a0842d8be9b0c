// Package vm runs the driver's tests on NICs that this machine does not have:
// in a QEMU guest under software emulation, whose virtio_net and igb cards have
// zero-copy. No hardware and no KVM is needed; root for cards of several queues alone.
//
// # Model
//
// A [Store] fetches one of Debian's kernels through the system's package tools, with
// a configuration of their own, and unpacks it beside the system, never over it. The
// tests of package guest are compiled into a static program, which with the modules
// it needs becomes an initramfs: it is the guest's init. A [Machine] boots it. The
// guest's console is kept as a log; what it found comes over a second serial port as
// a [Report].
//
//	hub 1:  far card ── port        hub 2:  port ── far card
//	            │         └──── dataplane ────┘          │
//	       packet socket                           packet socket
//
// Cards of one hub hear each other. QEMU's hubs know one queue only: those of cards
// with several are bridges between taps, in a network namespace of the test's. The far
// cards are sent from and listened on by packet sockets, frame by frame numbered and
// checked. They send past the queueing discipline, so that a frame that they have sent is
// one that the card has taken. A run that loses frames says which, and what the cards'
// drivers and the taps counted.
//
// TestMatrix does all of that for each of [AllSeries]:
//
//	PMD_VM=on go test -v ./pmd/afxdp/internal/vm
//
// and prints what each driver was found to have. With -update it writes the table
// into docs/drivers.md, with -newest it takes the newest kernels there are, with
// -guest.run it runs some of the guest's tests only. PMD_VM_CACHE names the folder for
// kernels and logs (each run has one of its own there, and the latest 20 stay), PMD_VM_QEMU
// the emulator, and PMD_VM_IGB=on adds igb, for which QEMU must be 8 or later: if it is not,
// one is fetched from bookworm-backports and unpacked beside the system's.
//
// TestGuestInTrouble, which PMD_VM=on switches on too, has guests hang, panic and print
// garbage.
//
// # Concurrency
//
// A Store may be used by several processes at once. Everything else is a value.
//
// # Limitations
//
// Debian on x86-64. An emulated NIC has an emulator's speed: nothing here measures.
package vm
