// Package fib holds the route table of one core: longest-prefix match for IPv4 and
// IPv6.
//
// # Model
//
// A [Table] maps prefixes to values of one type: a next hop, an index of one, or, for
// the interface layer, a whole route. It is the plain table: for each prefix length
// there is, a sorted list, which a lookup searches from the longest length down. It is
// right, small and easy to see through, and costs a binary search for every length in
// use. A faster structure with the same calls may take its place on the packet path; this
// one then stays as the twin that it is tested against.
//
// # Concurrency
//
// A Table belongs to one core, as all that its packets need does: every core has its own,
// and a message changes one after the other. There is no lock in it.
//
// # Limitations
//
// Adding and deleting move what lies behind in the list of that length: a full Internet
// table takes seconds to load. Zones are not part of a destination.
package fib
