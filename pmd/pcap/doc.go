// Package pcap is a port that replays a capture file and writes what it is sent to
// another. It brings recorded traffic to a dataplane and takes the result to
// Wireshark, and with a small capture in a loop it is a source of real packets as
// fast as a core can take them.
//
// # Model
//
// The file to receive from is loaded into memory when the port is opened: pcap and
// pcapng, of either byte order, in micro- or nanoseconds, with any number of
// interfaces and sections, plain or compressed with gzip. It is looked at whole
// before the first frame, so damage, other link types than Ethernet and packets
// longer than a frame of the pool are told at once, with the number of the packet
// and its offset. Each received frame is a fresh copy: whoever gets it may change
// it.
//
// What is sent goes to a pcapng file with times in nanoseconds and the port's name as
// that of the interface. The core that owns the queue copies each frame into a buffer,
// as a block of the file, and frees it; a goroutine writes the buffer to the file, and
// the core never waits for it. When the disk is slower than the traffic the buffer
// fills and the port takes no more, as a network port whose ring is full. Without a
// file to write, what is sent is discarded.
//
// The driver is "pcap". Its options:
//
//	rx=FILE              replay this capture
//	tx=FILE              write this pcapng file, compressed if it ends in .gz
//	loop=on|off|N        replay for ever, once, or N times (off)
//	rate=flat            as fast as frames are asked for (default)
//	rate=recorded        at the times of the capture
//	rate=N               N packets a second; 100k and 1.5M will do
//	speed=F              a factor for rate=recorded, 2 for twice as fast (1)
//	max-memory=SIZE      refuse a capture that needs more, as in 512M or 8G (1G)
//	partial=on|off       replay what comes before damage in the file (off)
//	oversize=refuse|skip what to do about packets too long for a frame (refuse)
//	frame-size=N         chunk size of the pool, 2048 or 4096 (the program's)
//	snaplen=N            cut packets that are written to N bytes, 0 for none (0)
//	buffer=SIZE          bytes that may wait to be written, a power of two (16M)
//
// Packets that the capture itself has cut short are replayed as they are, and
// counted in Info, as is all else that was left out. When a replay without end is
// not asked for and the last packet was received, the port stays up, receives
// nothing any more, and says so in Info.
//
// A replay that falls more than 100 ms behind its times or its rate, since nobody
// asked for frames or the pool had none, is not caught up in one burst: its schedule
// is set back, and that is counted (rx_late).
//
// The owner of the queue can sleep: on Linux until the next frame is due
// (timerfd_create(2)), and where nothing is replayed, or no more, until it is wanted for
// something else. A replay that is flat out has a frame whenever the pool has.
//
// # What is of gopacket
//
// Files are read by pcapgo's Reader and NgReader. Around them are the limits that
// they do not have (of memory, of interfaces in a section), the offsets for errors,
// and the check of each packet's link type. The head of a file that is written is
// pcapgo's too; the packet blocks are laid out by the poll core itself, so that
// they lie in the buffer as in the file and are written in large pieces.
//
// # Concurrency
//
// The queue belongs to the goroutine that bound it. The methods of a Device may be
// called from any goroutine.
//
// # Limitations
//
// A port has one queue. Names of files cannot hold a comma, which ends an option.
// All packets of a burst that is written have one time, that of the call. A check
// sequence at the end of recorded frames is replayed as part of them. Reading a
// named pipe waits for its writer, and ends with it.
package pcap
