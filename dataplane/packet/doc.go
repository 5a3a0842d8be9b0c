// Package packet reads and writes the headers of packets: Ethernet with VLAN
// tags, ARP, IPv4, IPv6 with its extension headers, TCP, UDP, ICMP, ICMPv6 and
// Neighbour Discovery; and computes the Internet checksum.
//
// # Model
//
// A header is a view of bytes in place: a pointer to an array that is as long as
// the fixed part of the header, so its accessors need no bounds checks and cannot
// reach beyond it. The …At functions make one from a slice, and return nil if the
// slice is too short. [Parse] walks the headers of a whole frame once and tells
// where each of them is; it never reads past the end of the frame, whatever the
// bytes are, and says with a [Fault] what is wrong with them.
//
// The Put… functions write whole frames: requests and answers of ARP and
// Neighbour Discovery, echo requests, UDP datagrams. They return the length of the
// frame, or 0 if the buffer is too short or the addresses do not fit together;
// then nothing was written.
//
// Frames are as drivers hand them over: without preamble and frame check
// sequence. Numbers are in host order, addresses in the order of the wire.
//
// # Checksums
//
// [Sum] adds 64-bit words with their carries (RFC 1071, section 2: the sum does
// not depend on the width of the words, nor, but for a swap at the end, on byte
// order). [Update16] and [Update32] change a checksum with the field it covers
// (RFC 1624).
//
// # Concurrency
//
// Nothing here has state. A view is as safe for concurrent use as the bytes it
// lies on.
//
// # Limitations
//
// Fragments are not put together; tunnels are not looked into; IPv6 jumbograms
// (RFC 2675) are faulty packets.
package packet
