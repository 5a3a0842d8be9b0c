// Package null is a port without a wire: an endless source of frames and a sink
// for them. It shows what the dataplane itself costs.
//
// # Model
//
// RxBurst takes free frames from the pool and hands them out as received;
// TxBurst gives every frame it is handed back to the pool. Both go through the
// cache of the core that owns the queue, so a frame that goes in by one null port
// and out by another on the same core never leaves that core's stack of frames.
//
// The driver is "null". Its options:
//
//	queues=N           receive and transmit queue pairs, 1 to 64 (1)
//	size=N             bytes a frame, 60 to what a frame of the pool holds (64)
//	content=udp        an Ethernet, IPv4 and UDP frame with right checksums (default)
//	content=zero       all bytes zero
//	content=HEX        these bytes, then zeros
//	copy=on|off        write the content into each frame received (off)
//	rx=on|off          off: a sink only (on)
//	tx=on|off          off: takes no frame, as a port whose ring stays full (on)
//
// With copy=off nobody touches the bytes of a frame: all frames of the pool get
// the content once, when the port is opened and no frame is out yet, and keep
// what is written into them from then on. That is the cheapest a port can be,
// and right for a port that shares the pool with other null ports of the same
// content and size. With copy=on each frame is as described, whoever had it before.
//
// # Concurrency
//
// Each queue belongs to the goroutine that bound it. The methods of a Device may
// be called from any goroutine.
//
// # Limitations
//
// Frames come as fast as they are asked for; there is no rate. A frame in the
// pool cannot be told from one that is bound for a null port of other content.
package null
