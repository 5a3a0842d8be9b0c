// Package afxdp is the driver for Linux network interfaces through AF_XDP: frames
// cross between kernel and user space through rings in shared memory, the
// interface stays the kernel's, and no driver is unbound.
//
// # Model
//
// A port attaches an XDP program that redirects the frames of one receive queue to
// an AF_XDP socket and passes everything else to the kernel's stack. The program
// is held by a bpf_link: it goes when the process does, however that dies, and a
// program of somebody else is never removed. Ports of one pool share its memory as
// one UMEM, so a frame goes from port to port without a copy by us.
//
// Mode auto takes zero-copy if driver and kernel offer it, else copy mode in the
// driver, else generic XDP; Info says what was obtained, as the kernel told.
//
// # Life of a port
//
// While the interface is down the socket is kept: it works again when the
// interface is up. When the interface is gone, the socket is given up, its frames
// return, and the port waits for an interface of that name to come back. A
// goroutine a port watches the interface; it exchanges the queue's socket through
// [pmd.Host.Exclusive], between two bursts of the core that polls it.
//
// # Concurrency
//
// A [Driver] and a Device may be used from any goroutine, a queue from its owner.
//
// # Limitations
//
// One queue a port. No multi-buffer: a frame must fit into one chunk, and an MTU
// that does not is refused. Linux only; kernel 5.11 or later.
package afxdp
