// Package ring joins two ports inside the process: what one end sends the other
// end receives. It needs no interface and no privilege, so it carries tests,
// demonstrations, and programs that feed a dataplane by hand.
//
// # Model
//
// A pair is two single-producer, single-consumer rings of frame handles, one for
// each direction. No byte is copied: a frame sent by one end is received by the
// other in the same memory, with the receiving port in its Meta. A port can also
// be looped onto itself, with one ring.
//
// The driver is "ring". Its options:
//
//	pair=NAME    join with the port that names the same pair
//	loop=on|off  join the port to itself (off)
//	size=N       frames each direction holds, a power of two, 2 to 65536 (1024)
//
// Of a pair, the port opened first is end "a" and the second "b"; a third is
// refused until one of them is closed. A port is up while both ends are open, as
// with a cable; meanwhile it takes no frame to send.
//
// A program that wants to put given bytes through a dataplane makes a pair with
// [NewPair], gives the one end to the dataplane and works the other by hand,
// through its Queue or through an [Endpoint].
//
// # Accounting
//
// A frame counts as sent once it is in the ring, where it is owned by the device
// (mbuf.OwnerDevice). It is walked by the end that will receive it; if that end
// is not open, by the one that sent it. Close returns what the closed end would
// have received to the pool.
//
// # Concurrency
//
// Each end's queue belongs to the goroutine that bound it; the two ends may be on
// different cores. The methods of a Device may be called from any goroutine. An
// Endpoint belongs to one goroutine.
//
// # Limitations
//
// Each end has one queue. Both ends use the same pool.
package ring
