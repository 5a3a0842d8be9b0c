// Package afxdp is the driver for Linux network interfaces through AF_XDP: frames
// cross between kernel and user space through rings in shared memory, the
// interface stays the kernel's, and no driver is unbound.
//
// # Model
//
// A port attaches an XDP program that redirects the frames of the receive queues it
// has taken, each to an AF_XDP socket of its own, and passes everything else to
// the kernel's stack. The program is held by a bpf_link: it goes when the process
// does, however that dies, and a program of somebody else is never removed. Ports
// of one pool share its memory as one UMEM, so a frame goes from port to port
// without a copy by us.
//
// A port takes all receive queues that are live, or those it is told. Frames that
// come on a live queue which it does not poll bypass it: Info.Unpolled
// has those queues and Info.Remedy the command that mends it, with a notice
// whenever that changes.
//
// Mode auto takes zero-copy if driver and kernel offer it on every queue, else copy
// mode in the driver, else generic XDP; Info says what was obtained, as the kernel
// told.
//
// # Packets of several frames
//
// Where the MTU asks for it, or frags=on does, the socket is bound with XDP_USE_SG, and
// a packet may be a run of frames of a pool that is MultiBuffer. It is received and sent
// as a whole, and counted as one. Such ports share no pool with others, since a UMEM is
// of one kind.
//
// # What packets carry besides their bytes
//
// RxHash, RxTimestamp and RxVLAN load a program for this interface alone, whose calls the
// driver answers; it writes the answers in front of the packet, for mbuf.Mem.RxMeta. With
// TxChecksum or TxTimestamp the memory is registered with room for a request in front of
// each packet to send, see mbuf.Mem.RequestChecksum and RequestTimestamp. A stamp is read in
// the same place when the packet is complete: the queue sums them up, and OnTxStamp is given
// each. What driver or kernel lack is refused by the name of the option. Ports without them
// do nothing of it.
//
// # Settings that are borrowed
//
// While a port is open, features of the interface that change frames before an XDP
// program sees them are off: LRO, hardware GRO, and the stripping of VLAN tags.
// Busy polling sets napi_defer_hard_irqs and gro_flush_timeout as well. They are
// put back when the port is closed; if the process is killed, by the next one
// that opens a port ([example.org/pmd/pmd/journal]). A setting that somebody
// has changed meanwhile stays as it is.
//
// # Life of a port
//
// While the interface is down the sockets are kept: they work again when the
// interface is up. When the interface is gone, the sockets are given up, their
// frames return, and the port waits for an interface of that name, with as many
// queues, to come back. A goroutine a port watches the interface; it exchanges
// the queues' sockets through [pmd.Host.Exclusive], between two bursts of the
// core that polls each.
//
// # Before a port is opened
//
// [Inspect] tells what the kernel knows of an interface, [TryFeatures] what the kernel
// can do; neither changes anything that is there before.
//
// # Concurrency
//
// A [Driver] and a Device may be used from any goroutine, a queue from its owner.
//
// # Limitations
//
// The number of queues is that of the moment the port was opened: more that come
// live later are announced, and polled after a restart. A queue that is polled
// cannot be taken away, the kernel refuses (ethtool -L). Launch times are not asked
// for. Whether packets may have
// several frames is decided when the port is opened: an MTU raised later beyond what one
// holds loses packets, and is told. A veth hands over
// VLAN tags beside the frame unless its peer has txvlan off (ethtool -K). Linux only; kernel 5.11 or later.
package afxdp
