// Package xsk is the raw AF_XDP layer: it registers packet memory with the
// kernel, maps the four rings of a socket, binds it to one queue of an
// interface, moves descriptors through the rings a burst at a time, and makes
// the kernel look at them. It knows nothing of programs, links or the life of a
// port; the driver above it does.
//
// # Model
//
// A [Socket] has four single-producer single-consumer rings in memory that it
// shares with the kernel ([Rings]):
//
//	fill        we post free chunks        the kernel takes them to receive into
//	receive     the kernel hands packets   we read them
//	transmit    we post packets            the kernel sends them
//	completion  the kernel gives back      we free the chunks of sent packets
//
// An index counts entries ever produced or consumed. It runs freely through
// 2^32 and is cut to the ring's size, a power of two, only to address an entry.
// Each side writes one index of a ring and reads the other; ours are kept
// beside it, and the kernel's are read again only when the copy we have says
// that there is too little to do.
//
// A frame handle of package mbuf is the kernel's own descriptor, so a receive
// burst is one pass from the ring into the caller's burst, a transmit burst one
// pass back. The same pass keeps the account: every chunk that goes to the
// kernel enters a set of posted chunks and leaves it when it comes back. What
// the kernel hands over that is not in the set is never handed out; it is
// counted as foreign, and 0 is the only number to be expected there.
//
// Sending is counted when it is complete. The completion ring gives addresses
// without lengths, so the lengths are remembered by chunk when a frame is
// posted.
//
// # Kicks
//
// In copy mode the kernel sends inside our system call, 32 frames at most,
// which [Socket.SetTxBudget] raises, and answers EAGAIN for the rest. EBUSY
// means that it has taken and completed one frame that the device refused.
// [Socket.KickTx] goes on until the ring is empty or nothing moves. The calls
// are raw ones: they do not block, and the Go scheduler need not know of them.
// One call delays a collection by as long as it takes, so a budget over 256
// frames is unwise.
//
// # Simulation
//
// A [Sim] plays the kernel over rings in ordinary memory. Nothing in it needs
// privileges or Linux, and the race detector sees both sides of its rings.
// There is nothing to tell that detector about a real socket: rings and packet
// memory are mapped outside the Go heap, where it does not look.
//
// # Concurrency
//
// The rings of a socket, its kicks and its statistics belong to one goroutine
// at a time: the owner of the queue. [Socket.FD], [Socket.Options] and
// [Socket.SocketError] may be called from any goroutine until Close, which needs
// an owner that has let go, and so do the Set calls. A Sim has two sides; each
// belongs to one goroutine, and they may be different ones.
//
// # Limitations
//
// Sockets exist on Linux only; rings and simulation build anywhere. Chunks are
// aligned, 2048 or 4096 bytes. A packet of several frames goes through the calls
// whose names say packets; one of more than mbuf.MaxSegments frames is neither
// received nor sent. One socket serves one queue: sockets that share
// the rings of a queue are not supported. Kernels before 5.4 are refused, since
// their rings have no flags.
package xsk
